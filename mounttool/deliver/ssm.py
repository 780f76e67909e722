"""Delivery through SSM Run Command: what is sent to AWS-RunShellScript, and what its answer means.

`mounttool.aws.run_command` sends it and asks for the answers.
"""

from __future__ import annotations

import base64
import gzip
import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from mounttool.deliver.fleet import HostResult
from mounttool.deliver.outcome import MountOutcome, Reader
from mounttool.errors import HostError, InputError
from mounttool.plan import Plan

#: AWS allows a document 64 KB, with the parameters that it is given; this much is left to ours.
LIMIT_BYTES = 60_000
#: What SSM keeps of a node's standard output, in characters.
KEPT_OUTPUT = 24_000


@dataclass(frozen=True, slots=True)
class Invocation:
    """What SSM says of one node: ``status`` in detail, in its own words (``ExecutionTimedOut``), output as kept."""

    instance: str
    status: str
    stdout: str = ""
    stderr: str = ""


def command(script: str) -> str:
    """Return the shell text to send for ``script``: itself, or compressed where it is too long to be sent so.

    Raises:
        InputError: even that is too long.

    """
    # SSM itself would replace what stands between {{ and }}.
    if len(json.dumps(script)) <= LIMIT_BYTES and "{{" not in script:
        return script
    packed = _packed(script)
    if len(packed) > LIMIT_BYTES:
        raise InputError(
            f"the script has {len(packed)} bytes when compressed: SSM takes {LIMIT_BYTES}",
            hint="send fewer mounts at once: --name",
        )
    return packed


def _packed(script: str) -> str:
    # Without a time in it, the same script is the same command.
    content = base64.b64encode(gzip.compress(script.encode(), mtime=0)).decode()
    return (
        "#!/bin/sh\n# Written by mounttool, compressed to fit: base64 -d | gzip -d shows it.\n"
        f"base64 -d <<'END' | gzip -d | /bin/sh -s\n{textwrap.fill(content, 120)}\nEND\n"
    )


def result(invocation: Invocation, plans: Sequence[Plan]) -> HostResult[list[MountOutcome]]:
    """Return what came of a node, as a session over SSH would tell it."""
    reader = Reader(plans)
    for line in invocation.stdout.splitlines():
        reader.line(line)
    error = _error(invocation, reader, len(plans))
    return HostResult(invocation.instance, None if error else reader.outcomes, error)


def _error(invocation: Invocation, reader: Reader, plans: int) -> HostError | None:
    # Told with and without spaces, here "Delivery Timed Out" and there "DeliveryTimedOut".
    host, status = invocation.instance, invocation.status.replace(" ", "")
    if reader.fatal:
        return HostError(host, "run", reader.fatal)
    if status in _NOT_RUN:
        phase, said, hint = _NOT_RUN[status]
        return HostError(host, phase, said, hint=hint)
    whole = len(reader.outcomes) == plans and all(outcome.complete for outcome in reader.outcomes)
    if not whole and len(invocation.stdout) >= KEPT_OUTPUT:
        return HostError(
            host, "run", f"its output is longer than the {KEPT_OUTPUT} characters that SSM keeps",
            hint="give --output-bucket, and run it again: what is done stays done",
        )  # fmt: skip
    if status not in {"Success", "Failed"}:
        return HostError(host, "run", f"SSM says: {invocation.status}", hint="run it again")
    if not reader.outcomes:
        said = " ".join(invocation.stderr.split()[-30:]) or "the script said nothing"
        return HostError(host, "run", said)
    return None


_ONLINE = "is its SSM agent online, and its instance profile allowed to use SSM? see Fleet Manager"
#: SSM's words for a node on which the script did not come to its end: the phase, the message, what to try.
_NOT_RUN = {
    "Undeliverable": ("connect", "SSM cannot deliver the command: the node is not there, or not managed", _ONLINE),
    "DeliveryTimedOut": ("connect", "its agent did not take the command in time", _ONLINE),
    "ExecutionTimedOut": ("run", "its deadline is over", "see --timeout; run it again: what is done stays done"),
    "Terminated": ("run", "not begun: more nodes failed than --max-errors allows", "see why the others failed"),
    "Cancelled": ("run", "cancelled before it was done", "run it again: what is done stays done"),
}
