//! Runs the real command in folders of its own, against endpoints in this process.

mod check;
mod copy;
mod credentials;
mod demo;
mod drill;
mod interrupt;
mod journal;
mod objects;
mod providers;
mod sandbox;
mod status;
mod usage;
