//! `lifeboat ls`: what is in a folder, or everything below it.

use chrono::SecondsFormat;
use futures::StreamExt;
use lifeboat::transfer::backend_name;
use lifeboat::{ErrorKind, Location, is_reserved};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt};
use serde::Serialize;

use crate::cli::Ls;
use crate::context::Context;
use crate::exit::{Exit, Failure, Result};
use crate::output::{print_line, print_record};

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Entry<'a> {
    Folder {
        key: &'a str,
    },
    Object {
        key: &'a str,
        size: u64,
        last_modified: String,
        e_tag: Option<&'a str>,
        version: Option<&'a str>,
    },
}

/// Lists a folder, or everything below it.
pub(crate) async fn run(context: &Context, arguments: &Ls) -> Result {
    let place = context.locate(&arguments.location)?;
    let mut listing =
        Listing { context, place: &place, long: arguments.long, shown: 0, skipped: false };
    listing.the_object_itself().await?;
    if arguments.recursive {
        listing.everything().await?;
    } else {
        listing.one_folder().await?;
    }
    if listing.skipped {
        return Err(Failure::Reported(Exit::Failed));
    }
    if listing.shown == 0 && !place.path.is_root() && !is_local_folder(&place) {
        let message = format!("nothing is at `{}`", place.text);
        return Err(lifeboat::Error::new(ErrorKind::NotFound, message)
            .with_backend(backend_name(&*place.store))
            .with_remedy("list the folder above it")
            .into());
    }
    Ok(())
}

/// A local folder may be empty; elsewhere a folder is what lies in it.
fn is_local_folder(place: &Location) -> bool {
    place.is_local && std::path::Path::new(&place.text).is_dir()
}

struct Listing<'a> {
    context: &'a Context,
    place: &'a Location,
    long: bool,
    shown: u64,
    /// Whether there is something that cannot be shown.
    skipped: bool,
}

impl Listing<'_> {
    fn failed(&self, error: StoreError) -> Failure {
        Failure::of_store(&*self.place.store, &self.place.path, error)
    }

    fn prefix(&self) -> Option<&Path> {
        (!self.place.path.is_root()).then_some(&self.place.path)
    }

    /// Lifeboat's own objects are shown to those who ask for them.
    fn is_hidden(&self, key: &Path) -> bool {
        is_reserved(key) && !is_reserved(&self.place.path)
    }

    /// A key may be an object and a folder at once.
    async fn the_object_itself(&mut self) -> Result {
        let place = self.place;
        if place.path.is_root() || place.ends_with_slash {
            return Ok(());
        }
        match place.store.head(&place.path).await {
            Ok(object) => self.object(&object),
            Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn everything(&mut self) -> Result {
        let mut objects = self.place.store.list(self.prefix());
        while let Some(object) = objects.next().await {
            match object {
                Ok(object) if self.is_hidden(&object.location) => {}
                Ok(object) => self.object(&object)?,
                // A name that is no key; the listing goes on after it.
                Err(error @ StoreError::InvalidPath { .. }) => {
                    self.skipped = true;
                    self.failed(error).report(self.context.output.json);
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    async fn one_folder(&mut self) -> Result {
        let found = self.place.store.list_with_delimiter(self.prefix()).await;
        let found = found.map_err(|error| self.failed(error))?;
        for folder in &found.common_prefixes {
            if !self.is_hidden(folder) {
                self.folder(folder)?;
            }
        }
        for object in &found.objects {
            if !self.is_hidden(&object.location) {
                self.object(object)?;
            }
        }
        Ok(())
    }

    fn folder(&mut self, key: &Path) -> Result {
        self.shown += 1;
        let output = self.context.output;
        if output.json {
            return print_record(&Entry::Folder { key: key.as_ref() });
        }
        let name = format!("{}/", self.name(key));
        let name = output.name(&name);
        if self.long {
            print_line(&format!("{:>14}  {:20}  {:34}  {name}", "-", "-", "-"))
        } else {
            print_line(&name)
        }
    }

    fn object(&mut self, object: &ObjectMeta) -> Result {
        self.shown += 1;
        let output = self.context.output;
        let modified = object.last_modified.to_rfc3339_opts(SecondsFormat::Secs, true);
        if output.json {
            return print_record(&Entry::Object {
                key: object.location.as_ref(),
                size: object.size,
                last_modified: modified,
                e_tag: object.e_tag.as_deref(),
                version: object.version.as_deref(),
            });
        }
        let name = self.name(&object.location);
        let name = output.name(&name);
        if !self.long {
            return print_line(&name);
        }
        let tag = object.e_tag.as_deref().unwrap_or("-");
        // Most are quoted MD5 digests: 34 characters.
        print_line(&format!("{:>14}  {modified:20}  {:34}  {name}", object.size, output.name(tag)))
    }

    /// The name within the folder that is listed; the last one for the object itself.
    fn name(&self, key: &Path) -> String {
        let rest: Vec<_> = key.prefix_match(&self.place.path).into_iter().flatten().collect();
        if rest.is_empty() {
            return key.filename().unwrap_or_default().to_owned();
        }
        rest.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("/")
    }
}
