#![no_main]

stockade_fuzz::target!("dlopen_note");
