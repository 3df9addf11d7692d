//! Why each action is there, its man page, its shell equivalent, and what breaks without it.
