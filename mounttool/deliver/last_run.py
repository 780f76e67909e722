"""What the last ``mount`` left to do, kept beside the configuration: names of hosts and mounts, nothing secret."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mounttool.errors import InputError

#: Beside the configuration.
FILE = Path(".mounttool") / "last-run.json"
_VERSION = 1
#: ``unreached``: cut off or never begun when the run was interrupted.
State = Literal["done", "failed", "unreached"]


@dataclass(frozen=True, slots=True)
class LastRun:
    """One run: the mounts it was for, and how each host ended."""

    config: str
    mounts: tuple[str, ...]
    hosts: Mapping[str, State]

    @property
    def left(self) -> list[str]:
        """The hosts that are to be tried again."""
        return [host for host, state in self.hosts.items() if state != "done"]


def save(config: str | Path, mounts: Sequence[str], hosts: Mapping[str, State]) -> None:
    """Keep a run, whole or not at all; a folder that cannot be written to is not worth a failure, and keeps nothing."""
    path = Path(config).absolute().parent / FILE
    document = {"version": _VERSION, "config": Path(config).name, "mounts": list(mounts), "hosts": dict(hosts)}
    fresh = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(exist_ok=True)
        fresh.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()


def load(config: str | Path) -> LastRun:
    """Return the last run with this configuration.

    Raises:
        InputError: there was none, it was with another configuration, or nothing of it is left to do.

    """
    path = Path(config).absolute().parent / FILE
    again = "run `fab mount` without it"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        run = LastRun(document["config"], tuple(document["mounts"]), dict(document["hosts"]))
        version = document["version"]
    except FileNotFoundError:
        raise InputError(f"--retry-failed: no mount was run with {config} yet", hint=again) from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: expected what mount wrote", hint=f"delete it, and {again}") from None
    if version != _VERSION:
        raise InputError(f"{path}: version {version!r}: expected {_VERSION}", hint=f"delete it, and {again}")
    if run.config != Path(config).name:
        raise InputError(f"--retry-failed: the last mount was with {run.config}, not {Path(config).name}", hint=again)
    if not run.left:
        raise InputError("--retry-failed: nothing failed in the last run", hint=again)
    return run
