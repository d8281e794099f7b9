//! Answers of real services on bad days, word for word where a client looks at the word. `Scripted::always` with one
//! of them is a storm; mixed with good answers in `Scripted::matching` it is a bad hour.

use super::Reply;

impl Reply {
    /// Amazon S3 asks for less: 503 `SlowDown`, to be tried again in a second.
    pub fn slow_down() -> Self {
        Self::error(503, "SlowDown", "Please reduce your request rate.").header("retry-after", "1")
    }

    /// The service has failed: 500 `InternalError`.
    pub fn internal_error() -> Self {
        Self::error(500, "InternalError", "We encountered an internal error. Please try again.")
    }

    /// 403 `AccessDenied`, which may mean this key or all of them.
    pub fn access_denied() -> Self {
        Self::error(403, "AccessDenied", "Access Denied")
    }

    /// Temporary credentials that are no longer valid: 400 `ExpiredToken`, as Amazon has it.
    pub fn expired_token() -> Self {
        Self::error(400, "ExpiredToken", "The provided token has expired.")
    }

    /// An error document behind a status of success, as copies and completions of uploads can have.
    pub fn error_behind_200() -> Self {
        Self::error(200, "InternalError", "We encountered an internal error. Please try again.")
    }

    /// A redirect to somewhere else: 307 `TemporaryRedirect`.
    pub fn redirect(location: &str) -> Self {
        Self::error(
            307,
            "TemporaryRedirect",
            "Please re-send this request to the specified endpoint.",
        )
        .header("location", location)
    }
}
