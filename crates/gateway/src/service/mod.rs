//! The operations of S3, over backends. This file holds what they share and their list; each family
//! has a file of its own.

mod attributes;
mod checksums;
mod conditions;
mod copy;
mod delete;
mod failure;
mod keys;
mod list;
mod listing;
mod multipart;
mod put;
mod read;
mod source;
mod uploads;

pub(crate) use checksums::{Digests, Wanted};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use http::{Request, Response, StatusCode};
use lifeboat_core::BlobStore;
use s3s::auth::{S3Auth, SecretKey};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, Bucket as BucketEntry,
    BucketLocationConstraint, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
    CopyObjectInput, CopyObjectOutput, CreateBucketInput, CreateBucketOutput,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteObjectInput, DeleteObjectOutput,
    DeleteObjectsInput, DeleteObjectsOutput, GetBucketLocationInput, GetBucketLocationOutput,
    GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput,
    HeadObjectOutput, ListBucketsInput, ListBucketsOutput, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput, Owner,
    PutObjectInput, PutObjectOutput, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput,
    UploadPartOutput,
};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use tracing::Instrument;

use self::uploads::Uploads;
use crate::guard::LARGEST_DOCUMENT;
use crate::memory::Memory;

/// The owner of everything; nothing depends on it.
const OWNER: &str = "lifeboat";

/// Who may send requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials(HashMap<String, SecretKey>);

impl Credentials {
    /// Adds a pair. Empty ones would let in whoever guesses so.
    pub(crate) fn add(&mut self, access_key: String, secret_key: String) {
        if !access_key.is_empty() && !secret_key.is_empty() {
            self.0.insert(access_key, secret_key.into());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[async_trait]
impl S3Auth for Credentials {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        self.0.get(access_key).cloned().ok_or_else(|| {
            S3Error::with_message(
                S3ErrorCode::InvalidAccessKeyId,
                "the gateway does not know this access key",
            )
        })
    }
}

/// A store under the name that clients use.
#[derive(Clone)]
struct Bucket {
    name: String,
    store: Arc<dyn BlobStore>,
}

/// The operations.
pub(crate) struct Gate {
    buckets: BTreeMap<String, Bucket>,
    credentials: Credentials,
    region: String,
    memory: Arc<Memory>,
    uploads: Uploads,
    started: SystemTime,
}

impl Gate {
    pub(crate) fn new(
        stores: BTreeMap<String, Arc<dyn BlobStore>>,
        credentials: Credentials,
        region: String,
        memory: Memory,
    ) -> Self {
        let bucket = |(name, store): (String, _)| (name.clone(), Bucket { name, store });
        let memory = Arc::new(memory);
        Self {
            buckets: stores.into_iter().map(bucket).collect(),
            credentials,
            region,
            uploads: Uploads::new(Arc::clone(&memory)),
            memory,
            started: SystemTime::now(),
        }
    }

    fn bucket(&self, name: &str) -> S3Result<&Bucket> {
        self.buckets
            .get(name)
            .ok_or_else(|| s3_error!(NoSuchBucket, "the gateway serves no bucket of this name"))
    }
}

/// The operations behind the protocol library.
pub(crate) struct Service(S3Service);

impl Service {
    pub(crate) fn new(gate: Gate) -> Self {
        let mut config = S3Config::default();
        config.xml_max_body_size = usize::try_from(LARGEST_DOCUMENT).unwrap_or(usize::MAX);
        let credentials = gate.credentials.clone();
        let mut builder = S3ServiceBuilder::new(gate);
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        builder.set_auth(credentials);
        Self(builder.build())
    }

    /// Answers a request that the guard has admitted; `id` is in all events about it.
    pub(crate) async fn call(&self, request: Request<Body>, id: &str) -> Response<Body> {
        let span = tracing::info_span!("s3", request = id);
        self.0.call(request).instrument(span).await.unwrap_or_else(|_| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    }
}

type Answer<T> = S3Result<S3Response<T>>;

#[async_trait]
impl S3 for Gate {
    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> Answer<ListBucketsOutput> {
        let entry = |name: &String| BucketEntry {
            name: Some(name.clone()),
            creation_date: Some(self.started.into()),
            ..BucketEntry::default()
        };
        let owner = Owner { display_name: Some(OWNER.into()), id: Some(OWNER.into()) };
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(self.buckets.keys().map(entry).collect()),
            owner: Some(owner),
            ..ListBucketsOutput::default()
        }))
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        self.bucket(&request.input.bucket)?;
        let bucket_region = Some(self.region.clone());
        Ok(S3Response::new(HeadBucketOutput { bucket_region, ..HeadBucketOutput::default() }))
    }

    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> Answer<CreateBucketOutput> {
        if self.buckets.contains_key(&request.input.bucket) {
            return Err(s3_error!(
                BucketAlreadyOwnedByYou,
                "the gateway serves this bucket already"
            ));
        }
        Err(s3_error!(
            NotImplemented,
            "the buckets of a gateway are set when it is started and cannot be created"
        ))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> Answer<GetBucketLocationOutput> {
        self.bucket(&request.input.bucket)?;
        // The oldest region has no name here.
        let named = (self.region != "us-east-1").then(|| self.region.clone());
        let location_constraint = named.map(BucketLocationConstraint::from);
        Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        read::get_object(self, request).await
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        read::head_object(self, request).await
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        put::put_object(self, request).await
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        copy::copy_object(self, request).await
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> Answer<DeleteObjectOutput> {
        delete::delete_object(self, request).await
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> Answer<DeleteObjectsOutput> {
        delete::delete_objects(self, request).await
    }

    async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> Answer<ListObjectsOutput> {
        list::list_objects(self, request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> Answer<ListObjectsV2Output> {
        list::list_objects_v2(self, request).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        multipart::create_multipart_upload(self, request).await
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        multipart::upload_part(self, request).await
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> Answer<UploadPartCopyOutput> {
        copy::upload_part_copy(self, request).await
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        multipart::list_parts(self, request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        multipart::complete_multipart_upload(self, request).await
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        multipart::abort_multipart_upload(self, request).await
    }
}
