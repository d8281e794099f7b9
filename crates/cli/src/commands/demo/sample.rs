//! The tree that the demo copies where no folder is given: what trees hold in practice, and the
//! names that break naive tools.

use lifeboat::transfer::describe;
use lifeboat::{BlobStore, Error, ErrorKind};
use object_store::path::Path;
use object_store::{Attribute, Attributes, Error as StoreError, ObjectStoreExt, PutOptions};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::exit::Result;

/// Small files, as in any tree.
const SMALL_FILES: usize = 100;

/// Above the size of a part, so that it goes over in several.
const LARGE_FILE: usize = 20 << 20;

const ODD_NAMES: [&str; 7] = [
    "odd/with space and + and %41",
    "odd/question?mark&ampersand#hash",
    "odd/ünï çödé 名前.txt",
    "odd/trailing dot.",
    "odd/quotes'\"`",
    "odd/semi;colon:and,comma",
    "odd/~tilde(and)[brackets]",
];

/// Whether the store keeps attributes; asked on a key that is removed again.
pub(super) async fn keeps_attributes(store: &dyn BlobStore) -> Result<bool> {
    let key = Path::from_iter([lifeboat::RESERVED_PREFIX, "check", "attributes"]);
    let failed = |error| describe(store, &key, error);
    let options = PutOptions { attributes: attributes(0), ..PutOptions::default() };
    match store.put_opts(&key, "x".into(), options).await {
        Ok(_) => store.delete(&key).await.map_err(failed)?,
        Err(StoreError::NotSupported { .. } | StoreError::NotImplemented { .. }) => {
            return Ok(false);
        }
        Err(error) => return Err(failed(error).into()),
    }
    Ok(true)
}

/// Writes the tree: the same bytes in each run.
pub(super) async fn write(store: &dyn BlobStore, with_attributes: bool) -> Result {
    let mut random = StdRng::seed_from_u64(2026);
    let small = (0..SMALL_FILES)
        .map(|number| (format!("notes/{}/{number:03}.txt", number % 7), number * 331));
    let odd = ODD_NAMES.iter().map(|name| ((*name).to_owned(), 1_000));
    let large = [("large/video.bin".to_owned(), LARGE_FILE), ("empty".to_owned(), 0)];
    for (number, (name, size)) in small.chain(odd).chain(large).enumerate() {
        let key = Path::parse(&name).map_err(|error| {
            Error::new(ErrorKind::Local, format!("`{name}` is no key")).with_source(error)
        })?;
        let mut body = vec![0; size];
        random.fill_bytes(&mut body);
        let attributes = if with_attributes { attributes(number) } else { Attributes::new() };
        let options = PutOptions { attributes, ..PutOptions::default() };
        let stored = store.put_opts(&key, body.into(), options).await;
        stored.map_err(|error| describe(store, &key, error))?;
    }
    Ok(())
}

fn attributes(number: usize) -> Attributes {
    Attributes::from_iter([
        (Attribute::ContentType, "text/plain".to_owned()),
        (Attribute::Metadata("number".into()), number.to_string()),
    ])
}
