//! The list of providers and the questions that can be asked of it. What is known of one provider
//! is in `provider`.

use std::sync::LazyLock;

use lifeboat_core::Jurisdiction;

use crate::data;
use crate::error::{CatalogueError, near};
use crate::provider::Provider;
use crate::words::parse_jurisdiction;

/// The data is a part of the binary and the same for every user, so it is either right for all or
/// wrong for all. The tests of this crate read it, and a release that does not pass them does not
/// exist; that is a stronger guard than a `build.rs` with a second copy of the schema, and costs
/// users no build time.
static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| {
    let providers = data::parse(include_str!("../data/providers.toml"));
    Catalogue {
        providers: providers.expect("the test builtin_catalogue_is_complete reads this data"),
    }
});

/// All providers that Lifeboat knows.
///
/// ```
/// use lifeboat_core::Jurisdiction;
/// use lifeboat_eu::Catalogue;
///
/// let catalogue = Catalogue::builtin();
/// let mut swiss = catalogue.owned_in(Jurisdiction::Ch);
/// assert!(swiss.any(|provider| provider.id == "exoscale"));
///
/// let error = catalogue.get("stakit").unwrap_err().to_string();
/// assert!(error.starts_with("unknown provider \"stakit\" (did you mean stackit?)"));
/// ```
#[derive(Debug)]
pub struct Catalogue {
    providers: Vec<Provider>,
}

impl Catalogue {
    /// The catalogue that is built into this crate.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// All providers, EU-owned ones first.
    pub fn providers(&self) -> std::slice::Iter<'_, Provider> {
        self.providers.iter()
    }

    /// Looks up a provider by its id.
    ///
    /// # Errors
    ///
    /// [`CatalogueError::UnknownProvider`], which offers the ids that look alike and lists all.
    pub fn get(&self, id: &str) -> Result<&Provider, CatalogueError> {
        self.providers.iter().find(|provider| provider.id == id).ok_or_else(|| {
            let known: Vec<_> = self.providers.iter().map(|provider| provider.id.clone()).collect();
            CatalogueError::UnknownProvider { id: id.into(), near: near(id, &known), known }
        })
    }

    /// The providers whose *owner* is under a jurisdiction, wherever their regions are.
    pub fn owned_in(&self, jurisdiction: Jurisdiction) -> impl Iterator<Item = &Provider> {
        self.providers.iter().filter(move |provider| provider.jurisdiction == jurisdiction)
    }

    /// The providers with a region in a country (ISO 3166-1 alpha-2, in either case), whoever owns
    /// them.
    pub fn with_region_in(&self, country: &str) -> impl Iterator<Item = &Provider> {
        self.providers.iter().filter(move |provider| provider.regions_in(country).next().is_some())
    }
}

/// Reads a jurisdiction from the word that configuration and command line use: `eu`, `ch`, `uk`,
/// `us`, `other`, `self-hosted`.
///
/// # Errors
///
/// [`CatalogueError::UnknownJurisdiction`], which lists the words.
pub fn jurisdiction(word: &str) -> Result<Jurisdiction, CatalogueError> {
    parse_jurisdiction(word)
        .ok_or_else(|| CatalogueError::UnknownJurisdiction { word: word.into() })
}
