#![no_main]

stockade_fuzz::target!("manifest_resolve");
