//! Copies between stores that behave, and between stores that do not.

mod object;
mod support;
mod tree;
