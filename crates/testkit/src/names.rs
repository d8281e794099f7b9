//! [`Names`]: a name service that a test changes while the application runs, for an outage that is none of the server's: its
//! name stops resolving.
//!
//! It knows nothing of any HTTP client; whatever that calls a resolver asks [`Names::lookup`].
//!
//! ```
//! use lifeboat_testkit::names::Names;
//!
//! # fn main() -> std::io::Result<()> {
//! let names = Names::default();
//! assert!(names.lookup("storage.test")?.iter().all(|address| address.is_loopback()));
//! names.forget("storage.test"); // an outage: it does not resolve
//! assert!(names.lookup("storage.test").is_err());
//! assert!(names.lookup("elsewhere.test").is_ok());
//! names.remember("storage.test"); // and it is over
//! assert!(names.lookup("storage.test").is_ok());
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A name service in which every name is this machine, until it is forgotten. Clones are the same service.
///
/// Connections that are open outlive a name, as they do with a real one: reset them as well
/// ([`Fault::Refuse`](crate::proxy::Fault::Refuse)) where the application keeps some.
#[derive(Clone, Debug, Default)]
pub struct Names {
    forgotten: Arc<Mutex<BTreeSet<String>>>,
}

impl Names {
    /// The addresses of a host. The case of letters makes no difference (RFC 4343).
    ///
    /// # Errors
    ///
    /// The name is forgotten. The error is of no particular kind, as that of the system's resolver is.
    pub fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if self.forgotten().contains(&host.to_ascii_lowercase()) {
            return Err(io::Error::other(format!("{host}: name or service not known")));
        }
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }

    /// A host does not resolve from now on.
    pub fn forget(&self, host: &str) {
        self.forgotten().insert(host.to_ascii_lowercase());
    }

    /// A host resolves again.
    pub fn remember(&self, host: &str) {
        self.forgotten().remove(&host.to_ascii_lowercase());
    }

    fn forgotten(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_is_forgotten_however_it_is_written_and_all_others_stay() {
        let names = Names::default();
        names.clone().forget("Primary.Test");
        assert!(names.lookup("primary.test").is_err());
        assert_eq!(names.lookup("replica.test").unwrap(), [Ipv4Addr::LOCALHOST]);
        names.remember("PRIMARY.test");
        assert_eq!(names.lookup("primary.test").unwrap(), [Ipv4Addr::LOCALHOST]);
    }
}
