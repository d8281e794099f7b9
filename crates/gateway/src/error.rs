//! Why a gateway does not start.

use std::io;
use std::net::SocketAddr;

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No store to serve.
    #[error("no bucket to serve; name at least one")]
    NoBucket,
    /// A name that no S3 client accepts.
    #[error("`{name}` is no bucket name; use 3 to 63 lower-case letters, digits, dots and hyphens")]
    BucketName {
        /// The name.
        name: String,
    },
    /// Two stores of one name.
    #[error("the bucket `{name}` is given twice; leave one out")]
    BucketTwice {
        /// The name.
        name: String,
    },
    /// Nobody could send a request.
    #[error("no credentials; give an access key and a secret key that are not empty")]
    NoCredentials,
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; choose another address or port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
}
