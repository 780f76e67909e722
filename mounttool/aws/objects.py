"""Scripts in S3, for user-data that has no room for them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from mounttool.aws.connection import CONFIG, session, told
from mounttool.errors import InputError

_ADDRESS = re.compile(
    r"s3://(?P<bucket>[a-z0-9][a-z0-9-]{1,61}[a-z0-9])(?:/(?P<prefix>[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*))?/?"
)


@dataclass(frozen=True, slots=True)
class Folder:
    """``s3://BUCKET/PREFIX``. A dot in the bucket's name would not fit its certificate, so there is none."""

    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A script that lies in S3, and how a node knows it."""

    bucket: str
    key: str
    region: str
    sha256: str


def parse(address: str) -> Folder:
    """Return the folder that ``address`` names.

    Raises:
        InputError: it is not of the form ``s3://BUCKET/PREFIX``.

    """
    found = _ADDRESS.fullmatch(address)
    if not found:
        raise InputError(
            f"--bucket {address}: expected s3://BUCKET/PREFIX",
            hint="no dots in BUCKET; letters, digits, _ . - and / in PREFIX",
        )
    return Folder(found["bucket"], found["prefix"] or "")


def locate(folder: Folder, script: str, region: str, *, name: str = "mounttool") -> Stored:
    """Return where ``script`` lies in ``folder``: under its own checksum, so that nothing there is ever replaced."""
    sha256 = hashlib.sha256(script.encode()).hexdigest()
    key = "/".join(part for part in (folder.prefix, f"{name}-{sha256[:32]}.sh") if part)
    return Stored(folder.bucket, key, region, sha256)


def put(folder: Folder, script: str, *, name: str = "mounttool", dry_run: bool = False) -> Stored:
    """Return where ``script`` lies in ``folder`` after it was brought there, unless it is already.

    ``name`` is for people who look into the bucket.

    Raises:
        InputError: no credentials.
        AwsError: AWS refused, or could not be reached.

    """
    with told():
        client = session().client("s3", config=CONFIG)
        # Its region is in the headers of every answer, also where the location may not be asked for.
        region = client.head_bucket(Bucket=folder.bucket)["BucketRegion"]
        stored = locate(folder, script, region, name=name)
        client = session(region).client("s3", config=CONFIG)
        there = client.list_objects_v2(Bucket=stored.bucket, Prefix=stored.key, MaxKeys=1).get("KeyCount", 0)
        if not there and not dry_run:
            client.put_object(
                Bucket=stored.bucket, Key=stored.key, Body=script.encode(), ContentType="text/x-shellscript"
            )
    return stored
