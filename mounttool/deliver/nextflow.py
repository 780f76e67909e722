"""A configuration for Nextflow on AWS Batch whose containers are checkpointed into a mount.

Nextflow's own words: https://www.nextflow.io/docs/latest/reference/config.html#aws. No credential is ever in it: who
runs Nextflow, and the instances of the queue, have roles.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mounttool.backends.base import Backend
from mounttool.errors import InputError

_TEMPLATE = """\
// Written by mounttool. No credentials belong here: who runs Nextflow, and the instances of the queue, have roles.
plugins {{
    id 'nf-amazon'
}}

process {{
    executor = 'awsbatch'
    queue = {queue}
    // Without this strategy maxRetries means nothing.
    errorStrategy = 'retry'
    maxRetries = {retries}
    // What the checkpoint engine on the instance reads from the container.
    containerOptions = {container_options}
}}

aws {{
{region}\
    client {{
        maxConnections = 20
        connectionTimeout = 10000
        uploadStorageClass = 'INTELLIGENT_TIERING'
        storageEncryption = 'AES256'
    }}
    batch {{
        // Of the instances' image; the folder above its bin/ is mounted into each container.
        cliPath = {cli_path}
        // PATH ON THE INSTANCE:PATH IN THE CONTAINER
        volumes = [{volume}]
        maxTransferAttempts = 3
        delayBetweenAttempts = '5 sec'
    }}
}}
"""
_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
#: What needs no quoting in containerOptions, which Nextflow takes apart itself, nor in a volume.
_PLAIN = re.compile(r"[A-Za-z0-9_./@%+=,-]+")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a mount does not know, as flags give it. ``interval`` is the engine's: a number with s, m or h."""

    queue: str
    region: str | None = None
    retries: str = "2"
    interval: str = "5m"
    subpath: str = "nextflow"
    cli_path: str = "/nextflow_awscli/bin/aws"


def document(mount: Backend, settings: Settings) -> str:
    """Return the text of an ``aws.config``.

    Raises:
        InputError: a value that cannot be said there; the message names its flag or the mount's key.

    """
    _check(settings)
    path = mount.link or mount.data_path
    for key, value in (("link", mount.link), ("mount_point", mount.data_path)):
        if value and not _PLAIN.fullmatch(value):
            raise InputError(
                f"mount.{mount.name}.{key} = {value!r}: expected a path of letters, digits and _./@%+=,- only, because "
                "Nextflow's containerOptions and volumes have no quoting"
            )
    variables = {
        "MMC_CHECKPOINT_INTERVAL": settings.interval,
        "MMC_CHECKPOINT_IMAGE_SUBPATH": settings.subpath,
        "MMC_CHECKPOINT_MODE": "true",
        "MMC_CHECKPOINT_IMAGE_PATH": path,
    }
    options = " ".join(f"--env {name}={value}" for name, value in variables.items() if value)
    return _TEMPLATE.format(
        queue=literal(settings.queue),
        retries=int(settings.retries),
        container_options=literal(options),
        region=f"    region = {literal(settings.region)}\n" if settings.region else "",
        cli_path=literal(settings.cli_path),
        # The directory itself: a link would have to be there when docker looks.
        volume=literal(f"{mount.data_path}:{path}"),
    )


def literal(text: str) -> str:
    """Return a Groovy string that is ``text``: in single quotes no ``$`` is looked at."""
    return "'" + "".join(_escape(character) for character in text) + "'"


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isascii() and character.isprintable():
        return character
    # As UTF-16 has it, whatever encoding the file is read in.
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def image_mount(mounts: Sequence[Backend]) -> Backend:
    """Return the one mount whose role is to keep checkpoints.

    Raises:
        InputError: there is none, or there are several.

    """
    found = [mount for mount in mounts if mount.role == "checkpoint"]
    if len(found) != 1:
        names = ", ".join(mount.name for mount in found) or "none"
        raise InputError(f'mounts with role = "checkpoint": {names}: expected one', hint="choose by --name")
    return found[0]


def _check(settings: Settings) -> None:
    expected = {
        "queue": (settings.queue, r"[A-Za-z0-9_-]{1,128}|arn:[A-Za-z0-9_:/-]+", "the name or ARN of a job queue"),
        "region": (settings.region or "us-east-1", r"[a-z0-9-]+", "a region such as us-east-1"),
        "retries": (settings.retries, r"[0-9]{1,3}", "a number from 0 on"),
        "interval": (settings.interval, r"[1-9]\d*[smh]", "a number with s, m or h, such as 5m"),
        "subpath": (
            settings.subpath or "x",
            r"[A-Za-z0-9_.@%+=,-][A-Za-z0-9_./@%+=,-]*",
            "a relative path without spaces",
        ),
        "cli-path": (
            settings.cli_path,
            r"(/[A-Za-z0-9_.@%+=,-]+)+/bin/aws",
            "an absolute path such as /opt/awscli/bin/aws",
        ),
    }
    for flag, (value, pattern, what) in expected.items():
        if not re.fullmatch(pattern, value):
            raise InputError(f"--{flag} {value!r}: expected {what}")
    if ".." in settings.subpath.split("/"):
        raise InputError(f"--subpath {settings.subpath!r}: expected a relative path without ..")
