//! The `reqwest` client under every store.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::HttpSettings;
use super::resolver::Resolver;
use crate::{Error, ErrorKind};

/// Idle connections are closed by us before the other side does it: Amazon and Azure do so after
/// 20 s and more, and a request on a connection that is just being closed has an unknown outcome.
const LONGEST_IDLE: Duration = Duration::from_secs(15);

/// A client with our settings but the proxy's.
pub(super) fn client_builder(settings: &HttpSettings) -> Result<reqwest::ClientBuilder, Error> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(settings.deadlines.connect)
        // A signature covers host and path: following a redirect cannot work, and would send
        // credentials to whoever answered.
        .redirect(reqwest::redirect::Policy::none())
        // Bodies are passed on as they are stored, whichever features other crates switch on.
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .pool_idle_timeout(LONGEST_IDLE)
        .user_agent(settings.user_agent.as_str())
        .dns_resolver(Arc::new(ShuffledDns(settings.resolver.clone())));
    for pem in &settings.ca_certificates {
        let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(|error| {
            configuration("a CA certificate cannot be read", "give PEM text", error)
        })?;
        builder = builder.tls_certs_merge(certificates);
    }
    Ok(builder)
}

/// A setting that cannot be used.
pub(super) fn configuration(message: &str, remedy: &str, source: reqwest::Error) -> Error {
    Error::new(ErrorKind::Configuration, message).with_remedy(remedy).with_source(source)
}

/// Resolves names with the system's resolver, or the one of the settings, and shuffles the
/// addresses, so that parallel connections spread over a provider's front ends instead of all
/// hitting the first.
#[derive(Debug)]
struct ShuffledDns(Option<Resolver>);

impl Resolve for ShuffledDns {
    fn resolve(&self, name: Name) -> Resolving {
        let own = self.0.as_ref().map(|resolver| resolver.resolve(name.as_str()));
        Box::pin(async move {
            use rand::seq::SliceRandom;
            let mut addresses = match own {
                Some(own) => own.await?,
                None => ask_system(name.as_str()).await?,
            };
            addresses.shuffle(&mut rand::rng());
            // The port is the URL's; it is filled in by the caller.
            let addresses: Addrs =
                Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

async fn ask_system(host: &str) -> io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
}
