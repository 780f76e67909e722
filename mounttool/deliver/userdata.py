"""EC2 user-data: a document that cloud-init runs at every boot.

Source: cloud-init's "User-data formats": MIME multi-part, of which it decompresses a part and the whole. EC2's limit
is of what it stores, before base64.
"""

from __future__ import annotations

import email
import email.policy
import gzip
import hashlib
import zlib
from dataclasses import dataclass
from email.message import MIMEPart
from typing import Literal

from mounttool import render
from mounttool.errors import InputError

LIMIT_BYTES = 16384

#: By default cloud-init runs scripts at an instance's first boot only.
_CLOUD_CONFIG = "#cloud-config\ncloud_final_modules:\n- [scripts-user, always]\n"

#: plain: readable as it is; part: its script is compressed, whole: all of it is.
Packing = Literal["plain", "part", "whole"]


@dataclass(frozen=True, slots=True)
class UserData:
    """User-data as EC2 stores it."""

    content: bytes
    packing: Packing

    @property
    def warning(self) -> str:
        """What a user should know of it."""
        if self.packing != "whole":
            return ""
        return (
            "the user-data is compressed as a whole: EC2 takes it, but AWS Batch and managed node groups cannot add "
            "theirs to it; with --bucket it is small"
        )


def pack(script: str) -> UserData:
    """Return user-data that runs ``script``, in the first of the three packings that EC2 has room for.

    Raises:
        InputError: there is none.

    """
    body = script.encode()
    plain = _multipart(body, compressed=False)
    packed: dict[Packing, bytes] = {
        "plain": plain,
        "part": _multipart(body, compressed=True),
        "whole": _compress(plain),
    }
    for packing, content in packed.items():
        if len(content) <= LIMIT_BYTES:
            return UserData(content, packing)
    raise InputError(
        f"the user-data has {len(packed['whole'])} bytes even when compressed: EC2 takes {LIMIT_BYTES}",
        hint="--bucket s3://BUCKET/PREFIX keeps the script in S3, for the nodes to fetch; or choose mounts with --name",
    )


def fetching(*, bucket: str, key: str, region: str, sha256: str) -> UserData:
    """Return user-data that fetches a script from S3 with the instance's role, and runs it when its checksum fits."""
    words = render.words("fetch_and_run", bucket, key, region, sha256)
    script = f"#!/bin/sh\n{render.library('aws')}\n{render.library('bootstrap')}\n{words} </dev/null\n"
    return pack(script)


def readable(content: bytes) -> str:
    """Return user-data of anybody's as text for people, decompressed as cloud-init does it."""
    content = _decompress(content)
    message = email.message_from_bytes(content, policy=email.policy.default)
    if not message.is_multipart():
        return content.decode(errors="replace")
    bodies = [part.get_payload(decode=True) for part in message.walk() if not part.is_multipart()]
    return "\n".join(_decompress(body).decode(errors="replace") for body in bodies if isinstance(body, bytes))


def _decompress(content: bytes) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return content


def _multipart(script: bytes, *, compressed: bool) -> bytes:
    whole = MIMEPart(email.policy.default)
    whole["MIME-Version"] = "1.0"
    whole.make_mixed()
    # Not a random one: what is equal must look so, or each run would make a new version of a launch template.
    whole.set_boundary(f"mounttool-{hashlib.sha256(script).hexdigest()[:24]}")
    whole.attach(_part(_CLOUD_CONFIG.encode(), "text", "cloud-config", "cloud-config.txt"))
    if compressed:
        whole.attach(_part(_compress(script), "application", "gzip", "mounttool.sh.gz"))
    else:
        whole.attach(_part(script, "text", "x-shellscript", "mounttool.sh"))
    return whole.as_bytes()


def _part(content: bytes, maintype: str, subtype: str, name: str) -> MIMEPart:
    part = MIMEPart(email.policy.default)
    part["MIME-Version"] = "1.0"
    # As it is where it is text that mail could carry; else in base64.
    encoding = "7bit" if content.isascii() and maintype == "text" else "base64"
    part.set_content(content, maintype, subtype, cte=encoding, disposition="attachment", filename=name)
    if encoding == "7bit":
        part.set_param("charset", "us-ascii")
    return part


def _compress(content: bytes) -> bytes:
    """Without the time, for the same reason as the boundary."""
    return gzip.compress(content, mtime=0)
