//! What the jail shall contain, from manifest text to a checked [value](self).

pub mod libs;
pub mod links;
