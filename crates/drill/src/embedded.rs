//! Two S3 endpoints of the drill's own, on loopback, each behind what can break it: a TCP proxy for
//! what goes wrong on connections, an HTTP proxy in front of the endpoint for answers that are not
//! its own, and a resolver that knows the endpoints' names, or does not.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use lifeboat_core::http::{HttpSettings, Resolve, Resolver};
use lifeboat_core::{AnyStore, BlobStore, Capabilities, Error, ErrorKind, Identity, Support};
use lifeboat_gateway::Gateway;
use lifeboat_s3::{Credentials, S3Builder, StaticKey};
use lifeboat_testkit::interposer::Interposer;
use lifeboat_testkit::names::Names;
use lifeboat_testkit::proxy::{Fault, FaultProxy};
use lifeboat_testkit::scripted::{Reply, Request};
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::memory::InMemory;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::breaker::Breaker;
use crate::scenario::Disturbance;

const BUCKET: &str = "drill";
const REGION: &str = "us-east-1";

/// The key pair of the endpoints. They listen on loopback, for as long as the drill lasts.
const KEY: [&str; 2] = ["drill", "drill-secret"];

/// No answer comes for longer than any drill lasts.
const NEVER: Duration = Duration::from_hours(1);

/// Where a body is cut off: after the first kilobyte of four that are usual.
const CUT_AT: u64 = 1_000;

/// The two endpoints. The first is the primary, which breaks.
#[derive(Debug)]
pub struct Embedded {
    sides: Vec<Side>,
}

#[derive(Debug)]
struct Side {
    name: &'static str,
    gateway: Gateway,
    interposer: Interposer,
    proxy: FaultProxy,
    names: Names,
}

impl Embedded {
    /// Starts both endpoints and what stands in front of them.
    ///
    /// # Errors
    /// No loopback port is to be had.
    pub async fn start() -> Result<Self, Error> {
        let sides = vec![Side::start("primary").await?, Side::start("replica").await?];
        Ok(Self { sides })
    }

    /// The backends as an application has them: each with an HTTP client of its own, through
    /// everything that can break.
    ///
    /// # Errors
    /// A backend cannot be built.
    pub fn backends(&self) -> Result<Vec<Arc<dyn BlobStore>>, Error> {
        self.sides.iter().map(Side::backend).collect()
    }

    /// The same backends past everything that can break.
    ///
    /// # Errors
    /// A backend cannot be built.
    pub fn sides(&self) -> Result<Vec<Arc<dyn BlobStore>>, Error> {
        self.sides.iter().map(Side::direct).collect()
    }

    /// Clients of both endpoints with the defaults of `object_store`, as an application has them that
    /// knows nothing of Lifeboat.
    ///
    /// # Errors
    /// A client cannot be built.
    pub fn plain_clients(&self) -> object_store::Result<Vec<Arc<dyn ObjectStore>>> {
        self.sides.iter().map(Side::plain_client).collect()
    }
}

/// The primary breaks on the wire. A name that does not resolve also loses its open connections:
/// those that are open go on working until they are closed, at a real provider within minutes.
#[async_trait]
impl Breaker for Embedded {
    async fn apply(&self, disturbance: Disturbance) -> Result<(), String> {
        let Some(primary) = self.sides.first() else { return Ok(()) };
        match disturbance {
            Disturbance::NoName => primary.names.forget(&primary.host()),
            _ => primary.names.remember(&primary.host()),
        }
        match script(disturbance) {
            Some(script) => primary.interposer.script(script),
            None => primary.interposer.pass(),
        }
        primary.proxy.set(fault(disturbance));
        Ok(())
    }
}

impl Side {
    async fn start(name: &'static str) -> Result<Self, Error> {
        let failed = || {
            let message = format!("the drill's endpoint `{name}` cannot start");
            Error::new(ErrorKind::Local, message)
        };
        let store = AnyStore::new(InMemory::new(), Identity::new("memory", "", name));
        let gateway = Gateway::builder()
            .bucket(BUCKET, Arc::new(store.with_capabilities(capabilities())))
            .credentials(KEY[0], KEY[1])
            .region(REGION)
            .start()
            .await
            .map_err(|error| failed().with_source(error))?;
        let interposer = Interposer::start(gateway.address()).await;
        let interposer = interposer.map_err(|error| failed().with_source(error))?;
        let proxy = FaultProxy::start(interposer.address()).await;
        let proxy = proxy.map_err(|error| failed().with_source(error))?;
        Ok(Self { name, gateway, interposer, proxy, names: Names::default() })
    }

    /// A name that only the drill's resolver knows (RFC 6761 keeps `.test` for this).
    fn host(&self) -> String {
        format!("{}.drill.test", self.name)
    }

    fn backend(&self) -> Result<Arc<dyn BlobStore>, Error> {
        let mut http = HttpSettings::default();
        http.allow_http = true;
        http.resolver = Some(Resolver::new(Asked(self.names.clone())));
        let endpoint = format!("http://{}:{}", self.host(), self.proxy.address().port());
        let builder = S3Builder::compatible("loopback", endpoint, BUCKET, REGION).with_http(http);
        Ok(Arc::new(builder.with_credentials(key()).with_id(self.name).build()?))
    }

    fn direct(&self) -> Result<Arc<dyn BlobStore>, Error> {
        let builder = S3Builder::compatible("loopback", self.gateway.url(), BUCKET, REGION);
        let builder = builder.with_allow_http(true).with_credentials(key());
        Ok(Arc::new(builder.with_id(self.name).build()?))
    }

    fn plain_client(&self) -> object_store::Result<Arc<dyn ObjectStore>> {
        let client = AmazonS3Builder::new()
            .with_endpoint(self.proxy.url())
            .with_allow_http(true)
            .with_bucket_name(BUCKET)
            .with_region(REGION)
            .with_access_key_id(KEY[0])
            .with_secret_access_key(KEY[1])
            .build()?;
        Ok(Arc::new(client))
    }
}

fn key() -> Credentials {
    Credentials::Static(StaticKey::new(KEY[0], KEY[1]))
}

/// What a map in memory does.
fn capabilities() -> Capabilities {
    let mut capabilities = Capabilities::CONSERVATIVE;
    capabilities.create_if_absent = Support::Yes;
    capabilities.compare_and_swap = Support::Yes;
    capabilities.user_metadata = Support::Yes;
    capabilities.ordered_listing = Support::Yes;
    capabilities
}

/// What the TCP proxy does.
fn fault(disturbance: Disturbance) -> Fault {
    match disturbance {
        Disturbance::Refuse | Disturbance::NoName => Fault::Refuse,
        Disturbance::BlackHole => Fault::BlackHole,
        Disturbance::Hang => Fault::Delay(NEVER),
        Disturbance::LoseAnswers => Fault::LoseResponse,
        Disturbance::CutBodies => Fault::ResetAfter(CUT_AT),
        Disturbance::Slow(delay) => Fault::Delay(delay),
        _ => Fault::Pass,
    }
}

type Script = Box<dyn Fn(&Request) -> Option<Reply> + Send + Sync>;

/// What the HTTP proxy answers in place of the endpoint.
fn script(disturbance: Disturbance) -> Option<Script> {
    let dice = Dice::default();
    Some(match disturbance {
        Disturbance::Errors { puts, others } => Box::new(move |request| {
            let share = if stores(request) { puts } else { others };
            dice.hit(share).then(|| if dice.hit(0.5) { internal_error() } else { unavailable() })
        }),
        Disturbance::Throttle(share) => Box::new(move |_| dice.hit(share).then(slow_down)),
        Disturbance::Credentials => {
            Box::new(move |_| Some(if dice.hit(0.5) { expired_token() } else { unknown_key() }))
        }
        Disturbance::LockedOut => Box::new(|_| Some(denied())),
        _ => return None,
    })
}

/// Whether a request stores something. A bulk delete is a POST, and does not.
fn stores(request: &Request) -> bool {
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let bulk_delete = query.split('&').any(|pair| pair == "delete" || pair.starts_with("delete="));
    matches!(&*request.method, "PUT" | "POST") && !bulk_delete
}

fn internal_error() -> Reply {
    Reply::error(500, "InternalError", "We encountered an internal error. Please try again.")
}

fn unavailable() -> Reply {
    Reply::error(503, "ServiceUnavailable", "Service is unable to handle request.")
}

fn slow_down() -> Reply {
    Reply::error(503, "SlowDown", "Please reduce your request rate.").header("retry-after", "1")
}

fn expired_token() -> Reply {
    Reply::error(400, "ExpiredToken", "The provided token has expired.")
}

fn unknown_key() -> Reply {
    let text = "The AWS access key ID that you provided does not exist in our records.";
    Reply::error(403, "InvalidAccessKeyId", text)
}

fn denied() -> Reply {
    Reply::error(403, "AccessDenied", "Access Denied")
}

/// Chance, the same in each run.
struct Dice(Mutex<StdRng>);

impl Default for Dice {
    fn default() -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(1)))
    }
}

impl Dice {
    fn hit(&self, share: f64) -> bool {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        random.random_bool(share.clamp(0.0, 1.0))
    }
}

/// The names of the endpoints, as the HTTP backends ask for them.
#[derive(Debug)]
struct Asked(Names);

impl Resolve for Asked {
    fn resolve(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::ready(self.0.lookup(host)))
    }
}
