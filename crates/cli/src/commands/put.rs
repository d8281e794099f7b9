//! `lifeboat put`: a file or standard input becomes an object, streaming.

use std::path::Path as FilePath;

use bytes::{Bytes, BytesMut};
use lifeboat::transfer::{CopyOptions, backend_name};
use lifeboat::{Error, ErrorKind, Location};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error as StoreError, PutMode, PutMultipartOptions, PutOptions,
    PutResult, WriteMultipart,
};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::cli::Put;
use crate::context::Context;
use crate::exit::{Failure, Result};
use crate::output::{escape, print_document};
use crate::size::human_size;

/// `--if-absent` takes one request (multipart uploads know no condition that all providers share),
/// whose body is held in memory.
const IF_ABSENT_LIMIT: usize = 256 << 20;

/// What the parts of a stream of unknown length are laid out for: with the usual 10,000 parts they
/// keep the usual size.
const UNKNOWN_LENGTH: u64 = 64 << 30;

/// Parts that are sent while the next one is read.
const PARTS_IN_FLIGHT: usize = 3;

type Input = Box<dyn AsyncRead + Send + Unpin>;

/// Stores a file or standard input.
pub(crate) async fn run(context: &Context, arguments: &Put) -> Result {
    let place = context.locate(&arguments.location)?;
    let key = key(&place, &arguments.file)?;
    let (input, length) = open(&arguments.file).await?;
    let mut upload = Upload {
        context,
        place: &place,
        key: &key,
        attributes: attributes(arguments),
        input,
        size: 0,
    };
    let result = if arguments.if_absent {
        upload.if_absent().await?
    } else {
        upload.anything(length).await?
    };
    let size = upload.size;
    let backend = backend_name(&*place.store);
    if context.output.json {
        let report = json!({
            "backend": backend,
            "key": key.as_ref(),
            "size": size,
            "e_tag": result.e_tag,
            "version": result.version,
        });
        return print_document(&report);
    }
    context.output.note(&format!(
        "stored {} in {backend} ({})",
        escape(key.as_ref()),
        human_size(size)
    ));
    Ok(())
}

/// The key that was named, or the file's name in the folder that was named.
fn key(place: &Location, file: &FilePath) -> Result<Path> {
    if !place.path.is_root() && !place.ends_with_slash {
        return Ok(place.path.clone());
    }
    let name = file.file_name().filter(|name| *name != "-").and_then(|name| name.to_str());
    let Some(name) = name else {
        return Err(Failure::usage(
            format!("`{}` is a folder", place.text),
            "add the name of the object",
        ));
    };
    let folder = place.path.as_ref();
    let text = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    Path::parse(text).map_err(|error| {
        let message = format!("`{name}` cannot be part of a key");
        Error::new(ErrorKind::Configuration, message).with_source(error).into()
    })
}

fn attributes(arguments: &Put) -> Attributes {
    let mut attributes = Attributes::new();
    if let Some(media_type) = &arguments.content_type {
        attributes.insert(Attribute::ContentType, media_type.clone().into());
    }
    for (name, value) in &arguments.meta {
        attributes.insert(Attribute::Metadata(name.clone().into()), value.clone().into());
    }
    attributes
}

/// The input, and its length where it is known.
async fn open(file: &FilePath) -> Result<(Input, Option<u64>)> {
    if file.as_os_str() == "-" {
        return Ok((Box::new(tokio::io::stdin()), None));
    }
    let failed = |error| Failure::local(format!("cannot read {}", file.display()), error);
    let input = tokio::fs::File::open(file).await.map_err(failed)?;
    let meta = input.metadata().await.map_err(failed)?;
    if meta.is_dir() {
        return Err(Failure::usage(
            format!("{} is a folder", file.display()),
            "copy it with `lifeboat cp -r`",
        ));
    }
    Ok((Box::new(input), meta.is_file().then_some(meta.len())))
}

struct Upload<'a> {
    context: &'a Context,
    place: &'a Location,
    key: &'a Path,
    attributes: Attributes,
    input: Input,
    size: u64,
}

impl Upload<'_> {
    async fn if_absent(&mut self) -> Result<PutResult> {
        let body = self.read(IF_ABSENT_LIMIT + 1).await?;
        if body.len() > IF_ABSENT_LIMIT {
            let message = "only objects up to 256 MiB can be stored with --if-absent";
            return Err(Error::new(ErrorKind::NotSupported, message)
                .with_key(self.key)
                .with_remedy("leave --if-absent out for larger ones")
                .into());
        }
        self.whole(body, PutMode::Create).await
    }

    async fn anything(&mut self, length: Option<u64>) -> Result<PutResult> {
        let part = self.part_size(length.unwrap_or(UNKNOWN_LENGTH))?;
        let first = self.read(part).await?;
        if first.len() < part {
            self.whole(first, PutMode::Overwrite).await
        } else {
            self.parts(first, part).await
        }
    }

    fn part_size(&self, length: u64) -> Result<usize> {
        let limits = self.place.store.capabilities().parts;
        let preferred = CopyOptions::PART_SIZE.min(limits.max_part_size);
        let part = limits.part_size_for(length, preferred);
        part.and_then(|part| usize::try_from(part).ok()).ok_or_else(|| {
            let message = format!("{} are more than this backend takes", human_size(length));
            Error::new(ErrorKind::NotSupported, message)
                .with_backend(backend_name(&*self.place.store))
                .with_key(self.key)
                .into()
        })
    }

    /// Reads `most` bytes, fewer only at the end.
    async fn read(&mut self, most: usize) -> Result<Bytes> {
        let mut buffer = BytesMut::new();
        let reading = async {
            while buffer.len() < most {
                let room = u64::try_from(most - buffer.len()).unwrap_or(u64::MAX);
                if (&mut self.input).take(room).read_buf(&mut buffer).await? == 0 {
                    break;
                }
            }
            Ok::<_, std::io::Error>(())
        };
        tokio::select! {
            biased;
            () = self.context.interrupt.wait() => return Err(Failure::Interrupted),
            result = reading => result.map_err(|error| Failure::local("cannot read the input", error))?,
        }
        self.size += buffer.len() as u64;
        Ok(buffer.freeze())
    }

    async fn whole(&self, body: Bytes, mode: PutMode) -> Result<PutResult> {
        let attributes = self.attributes.clone();
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let result = self.place.store.put_opts(self.key, body.into(), options).await;
        result.map_err(|error| self.failed(error))
    }

    async fn parts(&mut self, first: Bytes, part: usize) -> Result<PutResult> {
        let attributes = self.attributes.clone();
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let upload = self.place.store.put_multipart_opts(self.key, options).await;
        let upload = upload.map_err(|error| self.failed(error))?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, part);
        match self.feed(&mut writer, first, part).await {
            // Aborts by itself if it fails.
            Ok(()) => writer.finish().await.map_err(|error| self.failed(error)),
            Err(failure) => {
                if writer.abort().await.is_err() {
                    self.context.output.note(
                        "the unfinished upload could not be aborted: remove it at the provider",
                    );
                }
                Err(failure)
            }
        }
    }

    async fn feed(&mut self, writer: &mut WriteMultipart, first: Bytes, part: usize) -> Result {
        let mut chunk = first;
        while !chunk.is_empty() {
            writer.wait_for_capacity(PARTS_IN_FLIGHT).await.map_err(|error| self.failed(error))?;
            writer.put(chunk);
            chunk = self.read(part).await?;
        }
        Ok(())
    }

    fn failed(&self, error: StoreError) -> Failure {
        if matches!(error, StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) {
            return Error::new(ErrorKind::Conflict, "the object exists already")
                .with_backend(backend_name(&*self.place.store))
                .with_key(self.key)
                .with_remedy("choose another key, or leave --if-absent out to overwrite it")
                .with_source(error)
                .into();
        }
        Failure::of_store(&*self.place.store, self.key, error)
    }
}
