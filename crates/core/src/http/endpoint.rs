//! Reads the address of a service, once for all backends.

use reqwest::Url;

use super::HttpSettings;
use crate::{Error, ErrorKind};

/// Reads `https://host[:port][/path]`.
///
/// # Errors
/// No URL, no host, credentials in it, a query, or plain HTTP that is not allowed. A text that may
/// hold a secret is not repeated.
pub fn parse_endpoint(text: &str, settings: &HttpSettings) -> Result<Url, Error> {
    const REMEDY: &str = "give https://host[:port]";
    let wrong = |message: String| Error::new(ErrorKind::Configuration, message);
    if text.contains(['@', '?', '#']) {
        return Err(wrong("the endpoint holds credentials or a query".into())
            .with_remedy("give credentials through the environment or a file, and https://host"));
    }
    let url = Url::parse(text.trim_end_matches('/')).map_err(|error| {
        wrong(format!("endpoint `{text}` is no URL ({error})")).with_remedy(REMEDY)
    })?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong(format!("endpoint `{text}` has no host")).with_remedy(REMEDY));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if settings.allow_http => Ok(url),
        "http" => {
            let message = format!("endpoint `{text}` is plain http, which sends data unprotected");
            let remedy = "use https, or set allow_http = true for a network you trust";
            Err(wrong(message).with_remedy(remedy))
        }
        scheme => {
            Err(wrong(format!("endpoint `{text}` has scheme `{scheme}`")).with_remedy(REMEDY))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_repeated() {
        let settings = HttpSettings::default();
        for text in ["https://key:hunter2@host", "https://host?sig=hunter2"] {
            let error = parse_endpoint(text, &settings).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(parse_endpoint("http://host", &settings).is_err());
        assert!(parse_endpoint("host", &settings).is_err());
        assert_eq!(parse_endpoint("https://host:1/a/", &settings).unwrap().path(), "/a");
    }
}
