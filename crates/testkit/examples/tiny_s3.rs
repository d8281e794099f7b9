//! Serves an S3 endpoint with one bucket, `data`, until it is stopped: something to point any S3 client at.

use lifeboat_testkit::s3::{Options, TinyS3};

#[tokio::main(flavor = "current_thread")]
async fn main() -> lifeboat_testkit::Result<()> {
    let server = TinyS3::start(Options::default().bucket("data")).await?;
    println!("AWS_ENDPOINT_URL={}", server.url());
    println!("AWS_REGION={}", server.region());
    println!("AWS_ACCESS_KEY_ID=lifeboat");
    println!("AWS_SECRET_ACCESS_KEY=lifeboat-secret");
    std::future::pending().await
}
