//! `lifeboat cat`: an object to standard output.

use futures::TryStreamExt;
use object_store::GetOptions;
use tokio::io::AsyncWriteExt;

use crate::cli::Cat;
use crate::context::Context;
use crate::exit::{Failure, Result};

/// Streams an object to standard output; with `--json` too, as it is.
pub(crate) async fn run(context: &Context, arguments: &Cat) -> Result {
    let place = context.locate(&arguments.location)?;
    let failed = |error| Failure::of_store(&*place.store, &place.path, error);
    let options = GetOptions { range: arguments.range.clone(), ..GetOptions::default() };
    let object = place.store.get_opts(&place.path, options).await.map_err(failed)?;
    let mut body = object.into_stream();
    let mut stdout = tokio::io::stdout();
    while let Some(chunk) = body.try_next().await.map_err(failed)? {
        stdout.write_all(&chunk).await.map_err(Failure::output)?;
    }
    stdout.flush().await.map_err(Failure::output)
}
