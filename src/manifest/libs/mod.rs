//! Shared libraries a program needs, found as the dynamic loader finds them, without running anything.
