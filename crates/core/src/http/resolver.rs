//! Where host names are looked up: by the system, or by something that the application brings. How
//! the addresses are used is in `client`.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use futures::future::BoxFuture;

/// Looks up host names.
///
/// For split-horizon networks, caching resolvers, and for tests in which a provider's name stops
/// resolving while the rest of the world goes on.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// The addresses of `host`, in no particular order.
    fn resolve(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// A [`Resolve`] that settings can hold. Two are equal if they are the same one.
#[derive(Debug, Clone)]
pub struct Resolver(Arc<dyn Resolve>);

impl Resolver {
    /// Takes one into settings.
    pub fn new(resolve: impl Resolve + 'static) -> Self {
        Self(Arc::new(resolve))
    }

    /// The addresses of `host`.
    pub(super) fn resolve(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.0.resolve(host)
    }
}

impl PartialEq for Resolver {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Resolver {}
