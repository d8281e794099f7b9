//! Runs the real command in folders of its own, against endpoints in this process.

mod check;
mod copy;
mod credentials;
mod demo;
mod interrupt;
mod objects;
mod providers;
mod sandbox;
mod usage;
