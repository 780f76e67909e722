"""script, userdata, launchtemplate: what runs where nobody can be asked."""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from mounttool import config as configs
from mounttool import node as nodes
from mounttool.deliver import document
from mounttool.deliver import userdata as user_data
from mounttool.errors import InputError
from mounttool.render import Intent
from mounttool.tasks._command import command
from mounttool.terminal import err, out

if TYPE_CHECKING:
    from mounttool.aws.launch_templates import Change

NODE_HELP = "what the nodes are, such as al2023-arm64; ,kernel=RELEASE and ,cpus=N,memory=SIZE where a mount asks"
OUTPUT_HELP = "the file to write, readable by you alone; default: standard output"


@command(
    node=NODE_HELP,
    remove="take the mounts away instead, as unmount does",
    adopt="copy a directory that is in a link's way, verify the copy and keep the old one aside",
    output=OUTPUT_HELP,
)
def script(
    c: Context,
    node: str,
    config: str = configs.DEFAULT_FILE,
    backend: str | None = None,
    name: str | None = None,
    remove: bool = False,
    adopt: bool = False,
    output: str = "-",
) -> None:
    """Write the script that `mount` would send, to be run by hand, as root, on nodes of one kind.

    Example: fab script --node al2023-arm64 --output mount.sh
    """
    loaded = configs.load(config)
    mounts = loaded.select(backend=backend, name=name)
    intent = Intent("remove" if remove else "apply", adopt=adopt)
    text = document.script(loaded.file, mounts[::-1] if remove else mounts, nodes.declare(node), intent)
    write(output, text.encode())


@command(
    node=NODE_HELP,
    bucket="keep the script in S3, as s3://BUCKET/PREFIX, where the nodes fetch it with their role",
    output=OUTPUT_HELP,
)
def userdata(
    c: Context,
    node: str,
    config: str = configs.DEFAULT_FILE,
    backend: str | None = None,
    name: str | None = None,
    bucket: str | None = None,
    output: str = "-",
) -> None:
    """Write EC2 user-data that mounts at every boot what mounttool.toml declares.

    Examples: fab userdata --node al2023-arm64 --output user-data
              fab userdata --node al2023-arm64 --bucket s3://my-scripts/mounts --output user-data
    """
    write(output, _packed(_document(config, backend, name, node), bucket).content)


@command(
    template="the launch template's name; made when there is none",
    node=NODE_HELP,
    bucket="keep the script in S3, as s3://BUCKET/PREFIX, where the nodes fetch it with their role",
    region="the template's; default: that of the environment or the profile",
    set_default="make the version the default one",
    dry_run="show the difference, change nothing",
)
def launchtemplate(
    c: Context,
    template: str,
    node: str,
    config: str = configs.DEFAULT_FILE,
    backend: str | None = None,
    name: str | None = None,
    bucket: str | None = None,
    region: str | None = None,
    set_default: bool = False,
    dry_run: bool = False,
) -> None:
    """Give an EC2 launch template a version with this user-data; its other settings stay, and so do its other versions.

    Example: fab launchtemplate --template gpu-workers --node al2023-arm64 --dry-run
    """
    from mounttool.aws import launch_templates  # noqa: PLC0415 - boto3 only when it is used

    packed = _packed(_document(config, backend, name, node), bucket, dry_run=dry_run)
    change = launch_templates.compare(template, packed.content, region)
    if dry_run:
        for line in _difference(change):
            out.print(line, markup=False)
        return
    number = launch_templates.make(change, region, set_default=set_default)
    made = "made" if change.version is None else "nothing to do: it has this user-data already"
    out.print(f"{template}: version {number}: {made}", markup=False)
    default = number if set_default or change.base is None else change.base.number
    starts = "" if default == number else f"; give --set-default, or name version {number} where instances are started"
    out.print(f"{template}: version {default} is the default{starts}", markup=False)


def _difference(change: Change) -> Iterator[str]:
    """What would be done, in lines; of an existing template's user-data, what differs."""
    size = f"user-data of {len(change.user_data)} bytes"
    if change.base is None:
        yield f"{change.template}: would be made, with {size} and nothing else"
    elif change.version is not None:
        yield f"{change.template}: version {change.version} has this user-data already"
    else:
        kept = ", ".join(sorted(change.base.data.keys() - {"UserData"})) or "nothing"
        yield f"{change.template}: would get a version with {size}; from version {change.base.number} it keeps: {kept}"
        old, new = (user_data.readable(content).splitlines() for content in (change.base.user_data, change.user_data))
        yield from difflib.unified_diff(old, new, f"version {change.base.number}", "new version", lineterm="")


def _document(config: str, backend: str | None, name: str | None, node: str) -> str:
    loaded = configs.load(config)
    return document.script(loaded.file, loaded.select(backend=backend, name=name), nodes.declare(node), Intent())


def _packed(text: str, bucket: str | None, *, dry_run: bool = False) -> user_data.UserData:
    if bucket is None:
        packed = user_data.pack(text)
    else:
        from mounttool.aws import objects  # noqa: PLC0415 - boto3 only when it is used

        stored = objects.put(objects.parse(bucket), text, dry_run=dry_run)
        packed = user_data.fetching(bucket=stored.bucket, key=stored.key, region=stored.region, sha256=stored.sha256)
    if packed.warning:
        err.print(f"[yellow]warning:[/] {packed.warning}")
    return packed


def write(output: str, content: bytes) -> None:
    """Write a document to a file, whole or not at all, or to standard output."""
    if output == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
        return
    path = Path(output)
    try:
        # Only its owner can read a file made so.
        descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(unfinished).replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(unfinished).unlink()
    except OSError as error:
        raise InputError(f"--output {output}: {error.strerror}") from None
    err.print(f"{output}: {len(content)} bytes", markup=False)
