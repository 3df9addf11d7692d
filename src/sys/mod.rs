//! System calls. The only directory that may contain `unsafe`: each wrapper is one call with a safe signature, borrowed
//! descriptors and `&CStr`, no policy and no logging. nix has most calls; what it lacks is here, with its man page.

pub mod fs;
pub mod held;
pub mod host;
