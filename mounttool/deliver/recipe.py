"""What aws-hpc-recipes' ``mount.sh BUCKET DIRECTORY [OPTIONS]`` stands for, as a mount."""

from __future__ import annotations

import hashlib
import re

from mounttool import config as configs
from mounttool.backends.base import Backend
from mounttool.errors import InputError

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


def arguments(text: str) -> list[tuple[str, ...]]:
    """Return the arguments of ``mount.sh`` for each mount in ``BUCKET DIRECTORY [OPTIONS]; BUCKET ...``.

    Raises:
        ConfigError: such a mount cannot be.
        InputError: ``mount.sh`` would refuse it.

    """
    found = []
    for part in text.split(";"):
        words = part.split(maxsplit=2)
        if len(words) < 2:
            raise InputError(f"--recipe {part.strip()!r}: expected BUCKET DIRECTORY [OPTIONS]")
        if unfit := re.search(r"[^A-Za-z0-9/._+=,@: -]", part):
            raise InputError(
                f"--recipe {part.strip()!r}: expected letters, digits and /._+=,@:- only, not {unfit[0]!r}",
                hint="a mount in mounttool.toml may have any text",
            )
        declare(*words)
        found.append(tuple(" ".join(word.split()) for word in words))
    return found
