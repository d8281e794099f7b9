//! The rows: what is wrong with the primary, and how it is done.

use lifeboat_testkit::proxy::Fault as Wire;
use lifeboat_testkit::scripted::Reply;
use lifeboat_tests::Kind;

use crate::rig::{NAME, Rig};

/// What is wrong with the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Refused,
    BlackHole,
    HangAfterAccept,
    ResetMidBody,
    SlowDrip,
    InternalError,
    SlowDownStorm,
    Throttled,
    ExpiredCredentials,
    LostCredentials,
    ForbiddenStorm,
    DnsFailure,
    TlsFailure,
    Truncated,
    CorruptedAnswers,
    CorruptedRequests,
    Stopped,
    Killed,
}

impl Fault {
    pub(crate) const ALL: [Self; 18] = [
        Self::Refused,
        Self::BlackHole,
        Self::HangAfterAccept,
        Self::ResetMidBody,
        Self::SlowDrip,
        Self::InternalError,
        Self::SlowDownStorm,
        Self::Throttled,
        Self::ExpiredCredentials,
        Self::LostCredentials,
        Self::ForbiddenStorm,
        Self::DnsFailure,
        Self::TlsFailure,
        Self::Truncated,
        Self::CorruptedAnswers,
        Self::CorruptedRequests,
        Self::Stopped,
        Self::Killed,
    ];

    /// Nothing at all gets through to the primary, or nothing that it would do.
    pub(crate) fn is_total(self) -> bool {
        !matches!(
            self,
            Self::ResetMidBody
                | Self::SlowDrip
                | Self::Truncated
                | Self::CorruptedAnswers
                | Self::CorruptedRequests
        )
    }
}

/// Bytes of a body before it breaks off: within any object and any listing.
const BREAKS_AFTER: u64 = 100;
/// Where a bit flips: within the first words of an XML document, so that a listing cannot be read. (A bit that flips in a
/// name within a listing is for TLS to find: no service has checksums of listings.)
const FLIPS_AT: u64 = 20;
/// Requests that are spoilt. Azurite stores what its checksum refutes and only says so, and a delete is a request with a body
/// as well: one of those that put it right again must come through.
const SPOILT_REQUESTS: u64 = 3;
/// Bytes per second of the drip: the headers of one request take some seconds.
const DRIP: u64 = 200;

/// Breaks the primary.
pub(crate) async fn strike(rig: &mut Rig, fault: Fault) {
    match fault {
        Fault::Refused => rig.proxy.set(Wire::Refuse),
        Fault::BlackHole => rig.proxy.set(Wire::DropConnects),
        Fault::HangAfterAccept => rig.proxy.set(Wire::BlackHole),
        Fault::ResetMidBody => rig.proxy.set(Wire::ResetAfter(BREAKS_AFTER)),
        Fault::Truncated => rig.proxy.set(Wire::TruncateAfter(BREAKS_AFTER)),
        Fault::SlowDrip => rig.proxy.set(Wire::Throttle(DRIP)),
        Fault::CorruptedAnswers => rig.proxy.set(Wire::CorruptResponse(FLIPS_AT)),
        Fault::CorruptedRequests => {
            rig.proxy.set_times(Wire::CorruptRequest(FLIPS_AT), SPOILT_REQUESTS);
        }
        Fault::DnsFailure => {
            rig.names.forget(NAME);
            rig.proxy.set(Wire::Refuse);
        }
        Fault::TlsFailure => rig.primary.switch(rig.over_tls()),
        Fault::Stopped => rig.server.pause().unwrap(),
        Fault::Killed => rig.server.kill().unwrap(),
        scripted => {
            let reply = reply(scripted, rig.kind);
            rig.interposer.script(move |_| Some(reply.clone()));
        }
    }
    rig.proxy.in_force().await.unwrap();
}

/// Mends the primary.
pub(crate) async fn heal(rig: &mut Rig, fault: Fault) {
    match fault {
        Fault::TlsFailure => rig.primary.switch(rig.over_http()),
        Fault::Stopped => rig.server.resume().unwrap(),
        Fault::Killed => rig.restart().await,
        _ => {}
    }
    rig.names.remember(NAME);
    rig.interposer.pass();
    rig.proxy.set(Wire::Pass);
    rig.proxy.in_force().await.unwrap();
}

/// What each service says in such a case.
fn reply(fault: Fault, kind: Kind) -> Reply {
    let azure = kind == Kind::Azurite;
    let gcs = kind == Kind::Gcs;
    match fault {
        Fault::InternalError if azure => Reply::azure_error(
            500,
            "InternalError",
            "Server encountered an internal error. Please try again after some time.",
        ),
        Fault::InternalError => Reply::internal_error(),
        Fault::SlowDownStorm if azure => {
            Reply::azure_error(503, "ServerBusy", "The server is busy.")
        }
        Fault::SlowDownStorm => Reply::error(503, "SlowDown", "Please reduce your request rate."),
        Fault::Throttled if azure => {
            Reply::azure_error(503, "ServerBusy", "Operations per second is over the limit.")
                .header("retry-after", "2")
        }
        Fault::Throttled if gcs => {
            Reply::error(429, "SlowDown", "Rate exceeded.").header("retry-after", "2")
        }
        Fault::Throttled => Reply::slow_down().header("retry-after", "2"),
        Fault::ExpiredCredentials if azure => {
            Reply::azure_error(401, "InvalidAuthenticationInfo", "Lifetime validation failed.")
        }
        Fault::ExpiredCredentials if gcs => {
            Reply::error(401, "AuthenticationRequired", "The access token has expired.")
        }
        Fault::ExpiredCredentials => Reply::expired_token(),
        Fault::LostCredentials if azure => Reply::azure_error(
            403,
            "AuthenticationFailed",
            "Server failed to authenticate the request.",
        ),
        Fault::LostCredentials => {
            Reply::error(403, "InvalidAccessKeyId", "The access key does not exist.")
        }
        _ if azure => Reply::azure_error(403, "AuthorizationFailure", "Not authorized."),
        _ => Reply::access_denied(),
    }
}
