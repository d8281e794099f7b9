//! Backends out of settings.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use lifeboat_core::http::HttpSettings;
use lifeboat_core::{
    AnyStore, BlobStore, Capabilities, Error, ErrorKind, Identity, Jurisdiction, PartLimits,
    Prefixed, Support,
};
use object_store::memory::InMemory;
use object_store::path::Path;

use super::http::http;
use super::settings::BackendSettings;

/// Builds the backend that `settings` describe. Sends nothing.
///
/// # Errors
/// What the provider's builder refuses, with the backend's name.
pub(crate) fn build(settings: &BackendSettings) -> Result<Arc<dyn BlobStore>, Error> {
    let http = http(settings)?;
    if settings.bucket.is_empty() && settings.provider != "memory" {
        let message = format!("no bucket for {}", settings.provider);
        return Err(Error::new(ErrorKind::Configuration, message)
            .with_remedy(format!("write {}://bucket, or bucket = \"…\"", settings.provider)));
    }
    let store = match &*settings.provider {
        "memory" => memory(settings),
        "file" => folder(settings)?,
        "azure" => azure(settings, http, None)?,
        "gcs" => gcs(settings, http, None)?,
        "s3" => s3(settings, http)?,
        _ => from_catalogue(settings, http)?,
    };
    with_prefix(store, settings)
}

fn with_prefix(
    store: Arc<dyn BlobStore>,
    settings: &BackendSettings,
) -> Result<Arc<dyn BlobStore>, Error> {
    let Some(prefix) = &settings.prefix else { return Ok(store) };
    let path = Path::parse(prefix).map_err(|error| {
        Error::new(ErrorKind::Configuration, format!("`{prefix}` is no prefix"))
            .with_remedy("use names separated by single slashes")
            .with_source(error)
    })?;
    Ok(if path.as_ref().is_empty() { store } else { Arc::new(Prefixed::new(store, path)) })
}

/// One name is one store, for the life of the process.
fn memory(settings: &BackendSettings) -> Arc<dyn BlobStore> {
    static STORES: LazyLock<Mutex<HashMap<String, Arc<InMemory>>>> = LazyLock::new(Mutex::default);
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    let store = Arc::clone(stores.entry(settings.bucket.clone()).or_default());
    let mut declared = Capabilities::CONSERVATIVE;
    declared.create_if_absent = Support::Yes;
    declared.compare_and_swap = Support::Yes;
    declared.user_metadata = Support::Yes;
    declared.ordered_listing = Support::Yes;
    declared.presigned_urls = Support::No;
    declared.parts = PartLimits::NONE;
    let identity =
        Identity::new("memory", "", &*settings.bucket).with_jurisdiction(Jurisdiction::SelfHosted);
    let multipart = Arc::clone(&store);
    let store = AnyStore::new(store, named(identity, settings)).with_capabilities(declared);
    Arc::new(store.with_multipart_store(multipart))
}

fn named(identity: Identity, settings: &BackendSettings) -> Identity {
    match &settings.name {
        Some(name) => identity.with_id(name),
        None => identity,
    }
}

#[cfg(feature = "folder")]
fn folder(settings: &BackendSettings) -> Result<Arc<dyn BlobStore>, Error> {
    // Never made here: a folder that is missing may be a disk that is not mounted.
    let store = crate::folder::FolderStore::open(&settings.bucket, false)?;
    Ok(Arc::new(match &settings.name {
        Some(name) => store.with_id(name),
        None => store,
    }))
}

#[cfg(not(feature = "folder"))]
fn folder(_: &BackendSettings) -> Result<Arc<dyn BlobStore>, Error> {
    Err(not_built("file", "folder"))
}

/// A provider whose code was left out.
#[allow(dead_code, reason = "which callers remain depends on the features")]
fn not_built(provider: &str, feature: &str) -> Error {
    let message = format!("`{provider}` is not part of this build");
    Error::new(ErrorKind::Configuration, message)
        .with_remedy(format!("build lifeboat with feature `{feature}`"))
}

/// Settings that say something to other providers only are errors, not silence.
#[allow(dead_code, reason = "which callers remain depends on the features")]
fn refuse(settings: &BackendSettings, unused: &[(&str, bool)]) -> Result<(), Error> {
    match unused.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((key, _)) => {
            let message = format!("`{key}` means nothing to {}", settings.provider);
            Err(Error::new(ErrorKind::Configuration, message).with_remedy("leave it out"))
        }
    }
}

#[cfg(feature = "s3")]
fn s3(settings: &BackendSettings, http: HttpSettings) -> Result<Arc<dyn BlobStore>, Error> {
    use lifeboat_s3::S3Builder;
    refuse(settings, &[("account", settings.account.is_some()), ("emulator", settings.emulator)])?;
    let region = settings.region.clone().or_else(|| {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION"))
    });
    let mut builder = match (&settings.endpoint, region) {
        (Some(endpoint), region) => {
            let region = region.unwrap_or_else(|| "us-east-1".into());
            S3Builder::compatible("s3", endpoint, &settings.bucket, region)
        }
        (None, Some(region)) => S3Builder::amazon(&settings.bucket, region),
        (None, None) => {
            return Err(Error::new(ErrorKind::Configuration, "no region for Amazon S3")
                .with_remedy("add region=eu-north-1, or set AWS_REGION"));
        }
    };
    builder = builder.with_http(http).with_verify_reads(!settings.skip_verify_reads);
    if let Some(credentials) = super::credentials::s3(&settings.credentials)? {
        builder = builder.with_credentials(credentials);
    }
    if let Some(name) = &settings.name {
        builder = builder.with_id(name);
    }
    Ok(Arc::new(builder.build()?))
}

#[cfg(not(feature = "s3"))]
fn s3(_: &BackendSettings, _: HttpSettings) -> Result<Arc<dyn BlobStore>, Error> {
    Err(not_built("s3", "s3"))
}

/// A cloud that speaks Microsoft's or Google's API but is not theirs.
#[allow(dead_code, reason = "only the catalogue makes any")]
struct Foreign {
    id: String,
    endpoint: String,
    jurisdiction: Jurisdiction,
}

#[cfg(feature = "azure")]
fn azure(
    settings: &BackendSettings,
    mut http: HttpSettings,
    foreign: Option<Foreign>,
) -> Result<Arc<dyn BlobStore>, Error> {
    use lifeboat_azure::AzureBuilder;
    refuse(settings, &[("region", settings.region.is_some())])?;
    let container = &settings.bucket;
    let mut builder = match (&settings.account, settings.emulator, &settings.endpoint) {
        (_, true, Some(endpoint)) => AzureBuilder::emulator(endpoint, container),
        (_, true, None) => {
            AzureBuilder::emulator("http://127.0.0.1:10000/devstoreaccount1", container)
        }
        (Some(account), false, _) => AzureBuilder::new(account, container),
        (None, false, _) => AzureBuilder::from_env(container)?,
    };
    if settings.emulator {
        http.allow_http = true;
        return finish_azure(builder.with_http(http), settings);
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(foreign) = foreign {
        builder = builder.with_provider(foreign.id).with_jurisdiction(foreign.jurisdiction);
        if settings.endpoint.is_none() {
            builder = builder.with_endpoint(foreign.endpoint);
        }
    }
    let credentials = super::credentials::azure(&settings.credentials)?;
    finish_azure(builder.with_credentials(credentials).with_http(http), settings)
}

#[cfg(feature = "azure")]
fn finish_azure(
    builder: lifeboat_azure::AzureBuilder,
    settings: &BackendSettings,
) -> Result<Arc<dyn BlobStore>, Error> {
    let builder = builder.with_verify_reads(!settings.skip_verify_reads);
    Ok(Arc::new(match &settings.name {
        Some(name) => builder.with_id(name).build()?,
        None => builder.build()?,
    }))
}

#[cfg(not(feature = "azure"))]
fn azure(
    _: &BackendSettings,
    _: HttpSettings,
    _: Option<Foreign>,
) -> Result<Arc<dyn BlobStore>, Error> {
    Err(not_built("azure", "azure"))
}

#[cfg(feature = "gcs")]
fn gcs(
    settings: &BackendSettings,
    http: HttpSettings,
    foreign: Option<Foreign>,
) -> Result<Arc<dyn BlobStore>, Error> {
    use lifeboat_gcs::GcsBuilder;
    let region = settings.region.is_some() && foreign.is_none();
    refuse(
        settings,
        &[
            ("account", settings.account.is_some()),
            ("emulator", settings.emulator),
            ("region", region),
        ],
    )?;
    let mut builder = GcsBuilder::new(&settings.bucket)
        .with_credentials(super::credentials::gcs(&settings.credentials)?)
        .with_http(http)
        .with_verify_reads(!settings.skip_verify_reads);
    if let Some(foreign) = foreign {
        builder = builder
            .with_provider(foreign.id)
            .with_endpoint(foreign.endpoint)
            .with_jurisdiction(foreign.jurisdiction);
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(name) = &settings.name {
        builder = builder.with_id(name);
    }
    Ok(Arc::new(builder.build()?))
}

#[cfg(not(feature = "gcs"))]
fn gcs(
    _: &BackendSettings,
    _: HttpSettings,
    _: Option<Foreign>,
) -> Result<Arc<dyn BlobStore>, Error> {
    Err(not_built("gcs", "gcs"))
}

#[cfg(feature = "eu")]
fn from_catalogue(
    settings: &BackendSettings,
    http: HttpSettings,
) -> Result<Arc<dyn BlobStore>, Error> {
    use lifeboat_eu::{Api, Catalogue, S3Compatible};
    let provider = Catalogue::builtin().get(&settings.provider)?;
    if provider.api != Api::S3 {
        let region = settings.region.as_deref();
        let endpoint = provider.endpoint(region, settings.account.as_deref(), None)?;
        let foreign = Foreign {
            id: provider.id.clone(),
            endpoint: endpoint.to_string(),
            jurisdiction: provider.jurisdiction,
        };
        let plain = BackendSettings { region: None, ..settings.clone() };
        return match provider.api {
            Api::Azure => azure(&plain, http, Some(foreign)),
            _ => gcs(&plain, http, Some(foreign)),
        };
    }
    refuse(settings, &[("emulator", settings.emulator)])?;
    let mut builder = S3Compatible::new(&settings.provider, &settings.bucket)
        .with_http(http)
        .with_verify_reads(!settings.skip_verify_reads);
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if let Some(account) = &settings.account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(credentials) = super::credentials::s3(&settings.credentials)? {
        builder = builder.with_credentials(credentials);
    }
    if let Some(name) = &settings.name {
        builder = builder.with_id(name);
    }
    Ok(Arc::new(builder.build()?))
}

#[cfg(not(feature = "eu"))]
fn from_catalogue(
    settings: &BackendSettings,
    _: HttpSettings,
) -> Result<Arc<dyn BlobStore>, Error> {
    Err(not_built(&settings.provider, "eu"))
}
