//! The data: buckets, objects and open uploads behind one lock, so that a condition and the write that it guards are
//! one step. Nothing here knows HTTP.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, Utc};

use super::checksum::Checksum;
use super::multipart::Upload;
use crate::refusal::{Headers, Refusal};

/// The longest key, in bytes.
pub(super) const LONGEST_KEY: usize = 1024;

/// An object as it was written.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// One piece, or one per part.
    pub(super) data: Vec<Bytes>,
    pub(super) size: u64,
    /// With its quotes.
    pub(super) etag: String,
    pub(super) modified: DateTime<Utc>,
    /// Standard headers and user metadata, returned as they came.
    pub(super) headers: Headers,
    /// The tag set as the upload's header had it.
    pub(super) tags: Option<String>,
    pub(super) checksum: Option<Checksum>,
}

#[derive(Debug, Default)]
pub(super) struct Bucket {
    created: DateTime<Utc>,
    objects: BTreeMap<String, Arc<Object>>,
}

#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<String, Bucket>,
    uploads: HashMap<String, Upload>,
}

/// The one lock and what it guards.
#[derive(Debug, Default)]
pub(super) struct Store(Mutex<State>);

/// The present, as coarse as S3 tells it.
pub(super) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(0)
}

fn no_bucket(name: &str) -> Refusal {
    let text = "The specified bucket does not exist";
    Refusal::new(404, "NoSuchBucket", text).detail("BucketName", name)
}

fn no_key(key: &str) -> Refusal {
    Refusal::new(404, "NoSuchKey", "The specified key does not exist.").detail("Key", key)
}

fn no_upload() -> Refusal {
    let text = "The specified upload does not exist. The upload ID may be invalid, or the upload \
                may have been aborted or completed.";
    Refusal::new(404, "NoSuchUpload", text)
}

impl State {
    fn bucket(&mut self, name: &str) -> Result<&mut Bucket, Refusal> {
        self.buckets.get_mut(name).ok_or_else(|| no_bucket(name))
    }

    /// The upload, when it is open and for this object.
    fn upload(&mut self, (bucket, key): (&str, &str), id: &str) -> Result<&mut Upload, Refusal> {
        self.bucket(bucket)?;
        let found = self.uploads.get_mut(id);
        found.filter(|upload| upload.bucket == bucket && upload.key == key).ok_or_else(no_upload)
    }
}

impl Store {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a bucket; `false` when it was there already.
    pub(super) fn create_bucket(&self, name: &str) -> bool {
        let mut state = self.state();
        let new = !state.buckets.contains_key(name);
        let bucket = || Bucket { created: now(), ..Bucket::default() };
        state.buckets.entry(name.to_owned()).or_insert_with(bucket);
        new
    }

    pub(super) fn delete_bucket(&self, name: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        if !state.bucket(name)?.objects.is_empty() {
            let text = "The bucket you tried to delete is not empty";
            return Err(Refusal::new(409, "BucketNotEmpty", text));
        }
        state.buckets.remove(name);
        Ok(())
    }

    pub(super) fn buckets(&self) -> Vec<(String, DateTime<Utc>)> {
        let state = self.state();
        state.buckets.iter().map(|(name, bucket)| (name.clone(), bucket.created)).collect()
    }

    /// All objects of a bucket in key order; cheap, since the data is shared.
    pub(super) fn objects(&self, bucket: &str) -> Result<Vec<(String, Arc<Object>)>, Refusal> {
        let mut state = self.state();
        let objects = &state.bucket(bucket)?.objects;
        Ok(objects.iter().map(|(key, object)| (key.clone(), Arc::clone(object))).collect())
    }

    pub(super) fn object(&self, bucket: &str, key: &str) -> Result<Arc<Object>, Refusal> {
        let mut state = self.state();
        let found = state.bucket(bucket)?.objects.get(key);
        found.map(Arc::clone).ok_or_else(|| no_key(key))
    }

    /// Stores an object if `allowed` agrees with the one that it replaces, in one step.
    pub(super) fn put(
        &self,
        (bucket, key): (&str, &str),
        object: Object,
        allowed: impl FnOnce(Option<&Object>) -> Result<(), Refusal>,
    ) -> Result<Arc<Object>, Refusal> {
        let mut state = self.state();
        let objects = &mut state.bucket(bucket)?.objects;
        allowed(objects.get(key).map(Arc::as_ref))?;
        let object = Arc::new(object);
        objects.insert(key.to_owned(), Arc::clone(&object));
        Ok(object)
    }

    /// Removes an object if `allowed` agrees, in one step. One that is not there is fine.
    pub(super) fn delete(
        &self,
        (bucket, key): (&str, &str),
        allowed: impl FnOnce(Option<&Object>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        let objects = &mut state.bucket(bucket)?.objects;
        allowed(objects.get(key).map(Arc::as_ref))?;
        objects.remove(key);
        Ok(())
    }

    pub(super) fn open_upload(&self, id: &str, upload: Upload) -> Result<(), Refusal> {
        let mut state = self.state();
        state.bucket(&upload.bucket)?;
        state.uploads.insert(id.to_owned(), upload);
        Ok(())
    }

    /// Looks at or changes an open upload.
    pub(super) fn with_upload<T>(
        &self,
        target: (&str, &str),
        id: &str,
        use_it: impl FnOnce(&mut Upload) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        use_it(self.state().upload(target, id)?)
    }

    pub(super) fn drop_upload(&self, target: (&str, &str), id: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        state.upload(target, id)?;
        state.uploads.remove(id);
        Ok(())
    }

    /// Turns an upload into an object in one step: a failure on the way leaves both as they were.
    pub(super) fn complete(
        &self,
        target: (&str, &str),
        id: &str,
        assemble: impl FnOnce(&Upload) -> Result<Object, Refusal>,
        allowed: impl FnOnce(Option<&Object>) -> Result<(), Refusal>,
    ) -> Result<Arc<Object>, Refusal> {
        let mut state = self.state();
        let object = Arc::new(assemble(state.upload(target, id)?)?);
        let objects = &mut state.bucket(target.0)?.objects;
        allowed(objects.get(target.1).map(Arc::as_ref))?;
        objects.insert(target.1.to_owned(), Arc::clone(&object));
        state.uploads.remove(id);
        Ok(object)
    }
}
