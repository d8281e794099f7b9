//! `lifeboat cat`: an object to standard output.

use std::io;

use futures::TryStreamExt;
use lifeboat::causes;
use object_store::GetOptions;
use tokio::io::AsyncWriteExt;

use crate::cli::Cat;
use crate::context::Context;
use crate::exit::{Failure, Result};

/// Streams an object to standard output; with `--json` too, as it is.
pub(crate) async fn run(context: &Context, arguments: &Cat) -> Result {
    let place = context.locate_object(&arguments.location)?;
    let failed = |error| {
        if arguments.range.is_some() && is_invalid_input(&error) {
            return Failure::usage(
                "the range lies beyond the end of the object",
                "`lifeboat stat` shows its size",
            );
        }
        Failure::of_store(&*place.store, &place.path, error)
    };
    let options = GetOptions { range: arguments.range.clone(), ..GetOptions::default() };
    let object = place.store.get_opts(&place.path, options).await.map_err(failed)?;
    let mut body = object.into_stream();
    let mut stdout = tokio::io::stdout();
    while let Some(chunk) = body.try_next().await.map_err(failed)? {
        stdout.write_all(&chunk).await.map_err(Failure::output)?;
    }
    stdout.flush().await.map_err(Failure::output)
}

/// A range that a file does not have is no failure of this machine.
fn is_invalid_input(error: &object_store::Error) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::InvalidInput)
}
