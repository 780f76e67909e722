"""Scripts in S3, against moto."""

from __future__ import annotations

import hashlib

import boto3
import pytest

from mounttool.aws import objects
from mounttool.errors import AwsError, InputError

SCRIPT = "#!/bin/sh\necho é\n"
SHA256 = hashlib.sha256(SCRIPT.encode()).hexdigest()


@pytest.mark.parametrize(
    "address",
    [
        "my-bucket/x", "s3://", "s3://my.bucket/x", "s3://My-bucket", "s3://my-bucket/a//b", "s3://my-bucket/a b",
        "s3://my-bucket/a?b", "https://my-bucket/x",
    ],
)  # fmt: skip
def test_an_address_that_is_not_one_of_s3_is_refused(address: str) -> None:
    with pytest.raises(InputError, match=r"^--bucket .*: expected s3://BUCKET/PREFIX") as caught:
        objects.parse(address)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("address", "prefix"), [("s3://scripts/a/b", "a/b/"), ("s3://scripts/", ""), ("s3://scripts", "")]
)
def test_a_script_lies_under_its_checksum_and_is_brought_there_once(address: str, prefix: str) -> None:
    client = boto3.client("s3", region_name="us-west-2")
    client.create_bucket(Bucket="scripts", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    folder = objects.parse(address)

    planned = objects.put(folder, SCRIPT, dry_run=True)
    assert client.list_objects_v2(Bucket="scripts")["KeyCount"] == 0
    stored = objects.put(folder, SCRIPT)
    first = client.head_object(Bucket="scripts", Key=stored.key)
    again = objects.put(folder, SCRIPT)

    assert stored == planned == again
    assert (stored.bucket, stored.key, stored.region, stored.sha256) == (
        "scripts", f"{prefix}mounttool-{SHA256[:32]}.sh", "us-west-2", SHA256,
    )  # fmt: skip
    assert client.get_object(Bucket="scripts", Key=stored.key)["Body"].read() == SCRIPT.encode()
    assert client.head_object(Bucket="scripts", Key=stored.key)["LastModified"] == first["LastModified"]


@pytest.mark.usefixtures("aws")
def test_a_bucket_that_is_not_there_is_told_in_one_line() -> None:
    with pytest.raises(AwsError, match=r"^AWS: HeadBucket: 404"):
        objects.put(objects.parse("s3://nobodys-bucket/x"), SCRIPT)
