"""What Amazon's own Python client does with the gateway.

Usage: gateway.py ENDPOINT CHECK. Exits with 0 if the check holds. It is run by gateway.rs, with
boto3 from the test bed, against a gateway over an empty store in memory.
"""

import base64
import hashlib
import io
import os
import sys
import tempfile
import urllib.error
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

BUCKET = "bucket"
ENDPOINT = sys.argv[1]


def client(**config):
    return boto3.client(
        "s3",
        endpoint_url=ENDPOINT,
        region_name="us-east-1",
        aws_access_key_id="access-key",
        aws_secret_access_key="secret-key",
        config=Config(retries={"max_attempts": 1}, proxies={}, **config),
    )


def refused(status, code, call, **arguments):
    try:
        answer = call(**arguments)
    except ClientError as error:
        got = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
        assert got == (status, code), (got, error)
        return error
    raise AssertionError(f"not refused: {answer}")


def buckets(s3):
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == [BUCKET]
    s3.head_bucket(Bucket=BUCKET)
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] is None
    refused(404, "404", s3.head_bucket, Bucket="elsewhere")
    refused(409, "BucketAlreadyOwnedByYou", s3.create_bucket, Bucket=BUCKET)
    refused(501, "NotImplemented", s3.create_bucket, Bucket="elsewhere")
    refused(404, "NoSuchBucket", s3.list_objects_v2, Bucket="elsewhere")


def objects(s3):
    put = s3.put_object(
        Bucket=BUCKET,
        Key="a/ü +%.txt",
        Body=b"0123456789",
        ContentType="text/plain",
        CacheControl="no-store",
        Metadata={"colour": "green"},
    )
    got = s3.get_object(Bucket=BUCKET, Key="a/ü +%.txt")
    assert got["Body"].read() == b"0123456789"
    assert got["ETag"] == put["ETag"] and got["ETag"].startswith('"')
    assert got["Metadata"] == {"colour": "green"} and got["CacheControl"] == "no-store"
    head = s3.head_object(Bucket=BUCKET, Key="a/ü +%.txt")
    assert head["ContentLength"] == 10 and head["ContentType"] == "text/plain"
    part = s3.get_object(Bucket=BUCKET, Key="a/ü +%.txt", Range="bytes=-3")
    assert part["Body"].read() == b"789" and part["ContentRange"] == "bytes 7-9/10"
    named = s3.get_object(
        Bucket=BUCKET, Key="a/ü +%.txt", ResponseContentDisposition="attachment; filename=x"
    )
    assert named["ContentDisposition"] == "attachment; filename=x"
    refused(416, "InvalidRange", s3.get_object, Bucket=BUCKET, Key="a/ü +%.txt", Range="bytes=10-")
    refused(404, "NoSuchKey", s3.get_object, Bucket=BUCKET, Key="none")
    refused(404, "404", s3.head_object, Bucket=BUCKET, Key="none")

    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "a/ü +%.txt"})
    assert s3.head_object(Bucket=BUCKET, Key="copy")["Metadata"] == {"colour": "green"}
    replaced = s3.copy_object(
        Bucket=BUCKET,
        Key="copy",
        CopySource={"Bucket": BUCKET, "Key": "copy"},
        MetadataDirective="REPLACE",
        Metadata={"colour": "red"},
    )
    head = s3.head_object(Bucket=BUCKET, Key="copy")
    assert head["Metadata"] == {"colour": "red"}
    assert head["ETag"] == replaced["CopyObjectResult"]["ETag"]

    deleted = s3.delete_objects(
        Bucket=BUCKET,
        Delete={"Objects": [{"Key": key} for key in ("copy", "none", "a/ü +%.txt")]},
    )
    assert len(deleted["Deleted"]) == 3 and "Errors" not in deleted
    s3.put_object(Bucket=BUCKET, Key="empty", Body=b"")
    assert s3.get_object(Bucket=BUCKET, Key="empty")["Body"].read() == b""
    s3.delete_object(Bucket=BUCKET, Key="empty")
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def conditions(s3):
    first = s3.put_object(Bucket=BUCKET, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    refused(412, "PreconditionFailed", s3.put_object, Bucket=BUCKET, Key="k", IfNoneMatch="*")
    second = s3.put_object(Bucket=BUCKET, Key="k", Body=b"2", IfMatch=first)["ETag"]
    refused(412, "PreconditionFailed", s3.put_object, Bucket=BUCKET, Key="k", IfMatch=first)
    refused(404, "NoSuchKey", s3.put_object, Bucket=BUCKET, Key="none", IfMatch=first)
    refused(412, "PreconditionFailed", s3.get_object, Bucket=BUCKET, Key="k", IfMatch=first)
    refused(304, "304", s3.get_object, Bucket=BUCKET, Key="k", IfNoneMatch=second)
    refused(304, "304", s3.head_object, Bucket=BUCKET, Key="k", IfNoneMatch=second)
    modified = s3.head_object(Bucket=BUCKET, Key="k")["LastModified"]
    refused(304, "304", s3.get_object, Bucket=BUCKET, Key="k", IfModifiedSince=modified)
    s3.get_object(Bucket=BUCKET, Key="k", IfMatch=second, IfUnmodifiedSince=modified)
    source = {"Bucket": BUCKET, "Key": "k"}
    refused(
        412,
        "PreconditionFailed",
        s3.copy_object,
        Bucket=BUCKET,
        Key="copy",
        CopySource=source,
        CopySourceIfMatch=first,
    )
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource=source, CopySourceIfMatch=second)


def listings(s3):
    keys = sorted(
        ["a", "a/b", "a/c/d", "a/c/e", "b c", "b+c", "b%c", "ü", "z&<>'\"", "~"] + [f"n/{n:04}" for n in range(1100)],
        key=lambda key: key.encode(),
    )
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    for operation in ("list_objects", "list_objects_v2"):
        pages = s3.get_paginator(operation)
        for size in (7, 1000):
            found = [
                entry["Key"]
                for page in pages.paginate(Bucket=BUCKET, PaginationConfig={"PageSize": size})
                for entry in page.get("Contents", [])
            ]
            assert found == keys, (operation, size, found[:20])
        rolled = [
            (entry.get("Key") or entry["Prefix"])
            for page in pages.paginate(Bucket=BUCKET, Delimiter="/", PaginationConfig={"PageSize": 2})
            for entry in page.get("Contents", []) + page.get("CommonPrefixes", [])
        ]
        assert sorted(rolled, key=str.encode) == sorted(
            {key.split("/")[0] + ("/" if "/" in key else "") for key in keys}, key=str.encode
        ), (operation, rolled)
    level = s3.list_objects_v2(Bucket=BUCKET, Prefix="a/", Delimiter="/")
    assert [entry["Key"] for entry in level["Contents"]] == ["a/b"]
    assert [entry["Prefix"] for entry in level["CommonPrefixes"]] == ["a/c/"]
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="n/000")["KeyCount"] == 10
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="n/000", Delimiter="0")["KeyCount"] == 10
    after = s3.list_objects_v2(Bucket=BUCKET, Prefix="n/", StartAfter="n/1097")
    assert [entry["Key"] for entry in after["Contents"]] == ["n/1098", "n/1099"]
    bulk = [{"Key": key} for key in keys[:1000]]
    assert len(s3.delete_objects(Bucket=BUCKET, Delete={"Objects": bulk})["Deleted"]) == 1000


def transfers(s3):
    body = os.urandom((33 << 20) + 17)
    settings = TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20)
    with tempfile.TemporaryDirectory() as folder:
        source, target = os.path.join(folder, "source"), os.path.join(folder, "target")
        with open(source, "wb") as file:
            file.write(body)
        for extra in ({}, {"ChecksumAlgorithm": "SHA256"}, {"ChecksumAlgorithm": "SHA1"}):
            extra["Metadata"] = {"colour": "green"}
            s3.upload_file(source, BUCKET, "file", ExtraArgs=extra, Config=settings)
            s3.download_file(BUCKET, "file", target, Config=settings)
            with open(target, "rb") as file:
                assert file.read() == body
    head = s3.head_object(Bucket=BUCKET, Key="file")
    assert head["Metadata"] == {"colour": "green"} and head["ContentLength"] == len(body)
    assert "ContentEncoding" not in head, head
    # A stream of unknown length, and one put of 33 MiB.
    s3.upload_fileobj(io.BytesIO(body), BUCKET, "stream", Config=settings)
    s3.put_object(Bucket=BUCKET, Key="whole", Body=io.BytesIO(body))
    s3.copy({"Bucket": BUCKET, "Key": "file"}, BUCKET, "copied", Config=settings)
    for key in ("stream", "whole", "copied"):
        assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == body, key
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="left")["UploadId"]
    s3.upload_part(Bucket=BUCKET, Key="left", UploadId=upload, PartNumber=1, Body=b"x")
    assert len(s3.list_parts(Bucket=BUCKET, Key="left", UploadId=upload)["Parts"]) == 1
    s3.abort_multipart_upload(Bucket=BUCKET, Key="left", UploadId=upload)
    refused(404, "NoSuchUpload", s3.list_parts, Bucket=BUCKET, Key="left", UploadId=upload)


def checksums(s3):
    # The others need a native package that the test bed does not have.
    for name in ("CRC32", "SHA1", "SHA256"):
        put = s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", ChecksumAlgorithm=name)
        assert put[f"Checksum{name}"], put
    wrong = base64.b64encode(hashlib.sha256(b"y").digest()).decode()
    refused(400, "BadDigest", s3.put_object, Bucket=BUCKET, Key="k", Body=b"x", ChecksumSHA256=wrong)
    wrong = base64.b64encode(hashlib.md5(b"y").digest()).decode()
    refused(400, "BadDigest", s3.put_object, Bucket=BUCKET, Key="k", Body=b"x", ContentMD5=wrong)
    assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"x"


def fetch(url, method="GET", data=None, headers={}):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with opener.open(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def presigned(s3):
    s3 = client(signature_version="s3v4")
    place = {"Bucket": BUCKET, "Key": "a/ü +%.txt"}
    put = s3.generate_presigned_url("put_object", Params={**place, "ContentType": "text/plain"})
    assert fetch(put, "PUT", b"x", {"Content-Type": "text/plain"})[0] == 200
    get = s3.generate_presigned_url("get_object", Params=place)
    assert fetch(get) == (200, b"x")
    assert fetch(get.replace("X-Amz-Expires=3600", "X-Amz-Expires=3601"))[0] == 403
    assert fetch(get.split("?")[0])[0] == 403
    assert fetch(s3.generate_presigned_url("delete_object", Params=place), "DELETE")[0] == 204
    assert fetch(get)[0] == 404
    old = client(signature_version="s3").generate_presigned_url("get_object", Params=place)
    assert fetch(old)[0] == 400


CHECKS = [buckets, objects, conditions, listings, transfers, checksums, presigned]
{check.__name__: check for check in CHECKS}[sys.argv[2]](client())
