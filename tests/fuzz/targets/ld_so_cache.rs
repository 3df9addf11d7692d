#![no_main]

stockade_fuzz::target!("ld_so_cache");
