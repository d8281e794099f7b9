//! Every way in which replication over two providers is known to go wrong, set as a trap step by step.
//!
//! The number in a test's name is the trap's. Trap 29 (object lock and lifecycle rules keep markers from being
//! deleted, or make them vanish) is a matter of the bucket's settings, which the command `check` looks at.

mod audited;
mod brought_back;
mod budgets;
mod conditional;
mod failing;
mod found;
mod health;
mod hot_keys;
mod killed;
mod lab;
mod late_listing;
mod listing;
mod meanwhile;
mod patience;
mod presence;
mod presigned;
mod reading;
mod reread;
mod reviewed;
mod settings;
mod several;
mod writing;
