#![no_main]

stockade_fuzz::target!("once");
