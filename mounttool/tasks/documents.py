"""script: what runs where nobody can be asked."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from invoke.context import Context

from mounttool import config as configs
from mounttool import node as nodes
from mounttool.deliver import document
from mounttool.errors import InputError
from mounttool.render import Intent
from mounttool.tasks._command import command
from mounttool.terminal import err

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
