//! HTTP settings out of what a backend overrides.

use lifeboat_core::http::HttpSettings;
use lifeboat_core::{Error, ErrorKind};

use super::settings::BackendSettings;

pub(super) fn http(settings: &BackendSettings) -> Result<HttpSettings, Error> {
    let over = &settings.http;
    let mut http = HttpSettings::default();
    http.allow_http = settings.allow_http;
    http.proxy.clone_from(&over.proxy);
    let deadlines = &mut http.deadlines;
    deadlines.connect = over.connect.unwrap_or(deadlines.connect);
    deadlines.first_byte = over.first_byte.unwrap_or(deadlines.first_byte);
    deadlines.assembly = over.assembly.unwrap_or(deadlines.assembly);
    deadlines.stall = over.stall.unwrap_or(deadlines.stall);
    let retries = &mut http.retries;
    retries.max = over.retries.unwrap_or(retries.max);
    retries.budget = over.retry_budget.unwrap_or(retries.budget);
    if let Some(path) = &over.ca_certificate {
        let pem = std::fs::read(path).map_err(|error| {
            let message = format!("the CA certificate {} cannot be read", path.display());
            Error::new(ErrorKind::Configuration, message)
                .with_remedy("give the path of a PEM file")
                .with_source(error)
        })?;
        http.ca_certificates.push(pem);
    }
    Ok(http)
}
