"""What aws-hpc-recipes' ``mount.sh BUCKET DIRECTORY [OPTIONS]`` stands for, as a mount."""

from __future__ import annotations

import hashlib

from mounttool import config as configs
from mounttool.backends.base import Backend

#: What the recipe mounts with; any options replace all of them.
OPTIONS = "--allow-root --read-only --debug"
#: The user whom most images are made for; a plan for a node has the node's.
USER = "ec2-user"


def declare(bucket: str, path: str, options: str = OPTIONS, run_as: str = USER) -> Backend:
    """Return the mount that ``mount.sh BUCKET PATH OPTIONS`` makes.

    Raises:
        ConfigError: one of them cannot be.

    """
    name = f"s3-{hashlib.sha256(f'{bucket}:{path}'.encode()).hexdigest()[:8]}"
    table = {"backend": "mountpoint_s3", "bucket": bucket, "mount_point": path, "arguments": options, "run_as": run_as}
    return configs.declare(name, table, "mountpoint-s3")
