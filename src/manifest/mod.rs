//! What the jail shall contain: from the text of a manifest to the files it stands for.

pub mod libs;
pub mod links;
