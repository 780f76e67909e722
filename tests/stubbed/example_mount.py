"""The example's mount with a release that the stub of curl serves."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass

from core_examples import mount

from mounttool.node import Node
from mounttool.plan import Plan

PROGRAM = b"#!/bin/sh\necho juicefs version 9.9.9\n"


def _archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in (("LICENSE", b"free"), ("juicefs", PROGRAM)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVE = _archive()
CHECKSUM = hashlib.sha256(ARCHIVE).hexdigest()


def release(checksum: str) -> str:
    url = "https://mirror.example.com/juicefs-{version}-linux-{arch}.tar.gz"
    return f'{{ version = "9.9.9", url = "{url}", sha256 = {{ amd64 = "{checksum}", arm64 = "{checksum}" }} }}'


@dataclass(frozen=True)
class Example:
    """Plans of the example's mount on one node; keys may be changed."""

    node: Node = Node(version="12")  # noqa: RUF009 - frozen

    def __call__(self, **changed: str) -> Plan:
        changed.setdefault("release", release(CHECKSUM))
        return mount(**changed).plan(self.node)
