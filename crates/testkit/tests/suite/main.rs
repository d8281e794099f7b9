//! The crate's tests from outside, in one binary. `gcs_xml` needs the running test bed (`cargo testbed test`),
//! `servers` starts servers of its own, the rest needs nothing.

mod faults;
#[cfg(feature = "testbed")]
mod gcs_xml;
mod interposer;
mod plain;
#[cfg(all(feature = "testbed", unix))]
mod servers;
mod tiny_s3;
