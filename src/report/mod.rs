//! What people and programs read: the only code that formats for stdout and stderr. Knows the plan, nothing of where it
//! comes from.

pub mod diagnostic;
