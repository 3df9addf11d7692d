//! The rules of order between steps, each with its reason.
