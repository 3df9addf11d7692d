#![no_main]

stockade_fuzz::target!("archive");
