//! Every unsafe line: safe functions outside, a `SAFETY:` note per block inside.
//! Knows the kernel and libc, and nothing of what they are used for.

pub mod clock;
pub mod process;
pub mod splice;
