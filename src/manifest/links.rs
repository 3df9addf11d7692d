//! Symbolic links on the way to a file.
