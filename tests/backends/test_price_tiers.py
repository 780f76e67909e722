from __future__ import annotations

from typing import Any

import pytest

from mounttool import config
from mounttool.bench import prices

JUICEFS = {"backend": "juicefs", "volume": "checkpoints", "metadata": "redis://h:6379/1"}


@pytest.mark.parametrize(
    ("table", "tier"),
    [
        ({**JUICEFS, "bucket": "https://b.s3.us-east-1.amazonaws.com"}, "s3-standard"),
        ({**JUICEFS, "bucket": "https://b--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com"}, "s3-express"),
        ({**JUICEFS, "bucket": "http://storage:8333/b"}, ""),
        ({**JUICEFS, "bucket": "https://b.s3.us-east-1.amazonaws.com.example.org"}, ""),
        ({"backend": "mountpoint_s3", "bucket": "my-data"}, "s3-standard"),
        ({"backend": "mountpoint_s3", "bucket": "my-data--use1-az4--x-s3"}, "s3-express"),
        ({"backend": "mountpoint_s3", "bucket": "my-data", "endpoint": "http://storage:8333"}, ""),
        ({"backend": "efs", "file_system": "fs-0123456789abcdef0", "region": "us-east-1"}, "efs-elastic"),
        ({"backend": "local", "path": "/srv/data"}, "local"),
    ],
)
def test_a_mount_is_priced_as_what_it_lies_on(table: dict[str, Any], tier: str) -> None:
    mount = config.declare("m", {"mount_point": "/mnt/m", **table}, "test.toml")

    assert mount.price_tier == tier
    assert tier in {"", *prices.load().tier}
