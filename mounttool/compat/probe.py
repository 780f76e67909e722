"""The probe, over a session: what one mount of one node can do, feature by feature."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from mounttool.backends.base import Backend
from mounttool.deliver import probe
from mounttool.errors import HostError, UnsupportedError
from mounttool.plan import Plan
from mounttool.semantics import FEATURES, Feature
from mounttool.session import Session

Result = Literal["yes", "no", "wrong", "not looked at"]

_PROGRAM = (Path(__file__).parent / "on_node.py").read_text(encoding="utf-8")
_NO_PYTHON = 96
#: The probe ends by itself before this: its tries have 120 s, what is around them some 15 s each.
_TIMEOUT_S = 200

# RHEL's own interpreter has another name. The program comes by standard input, and nothing of the user's reaches it.
_SCRIPT = """
cd /
for python in python3 /usr/libexec/platform-python ''; do
    if [ -z "$python" ]; then exit {no_python}; fi
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 6))' 2>/dev/null; then break; fi
done
{user}"$python" -I -B - {action} {parameters} <<'MOUNTTOOL_PROGRAM'
{program}
MOUNTTOOL_PROGRAM
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one try. ``error`` is the errno's name when the call failed."""

    result: Result
    error: str = ""
    detail: str = ""

    @property
    def lacks(self) -> bool:
        """Whether it was tried, and is not there."""
        return self.result in {"no", "wrong"}


@dataclass(frozen=True, slots=True)
class Look:
    """One mount on one node: how it is, and what was ``found`` when it is ok.

    ``failed`` says why it could not be looked at, or not to the end; ``left`` what could not be removed, and why.
    """

    host: str
    word: probe.Word
    failed: str = ""
    found: Mapping[Feature, Found] = field(default_factory=dict)
    left: str = ""

    def with_found(self, feature: Feature, found: Found) -> Look:
        """Return the look with one more feature, in the order of tables."""
        both = {**self.found, feature: found}
        return replace(self, found={name: both[name] for name in FEATURES if name in both})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mount's user writes, on one node. Each place has a directory of its own to try things in."""

    session: Session
    path: str
    mount_point: str
    user: str
    directory: str = field(default_factory=lambda: f".mounttool-compat-{secrets.token_hex(6)}")

    def ask(self, action: str, **parameters: object) -> list[dict[str, Any]]:
        """Run the probe, and return the lines of its answer but the last.

        Raises:
            UnsupportedError: the node has no Python that can run it.
            HostError: the node does not answer, or the probe broke off.

        """
        arguments = {"path": self.path, "directory": self.directory, **parameters}
        script = _SCRIPT.format(
            no_python=_NO_PYTHON,
            user="" if self.user == "root" else f"runuser -u {shlex.quote(self.user)} -- ",
            action=action,
            parameters=shlex.quote(json.dumps(arguments)),
            program=_PROGRAM,
        )
        done = self.session.run(script, timeout_s=_TIMEOUT_S)
        if done.returncode == _NO_PYTHON:
            raise UnsupportedError(f"python3 is not on {self.session.host}: compat needs it; mounting does not")
        lines = list(_documents(done.stdout))
        if done.returncode != 0 or not lines or lines[-1] != {"end": True}:
            said = (done.stderr + done.stdout).strip().splitlines()
            raise HostError(self.session.host, "run", f"the probe broke off: {said[-1] if said else 'it said nothing'}")
        return lines[:-1]

    def found(self, action: str, **parameters: object) -> Found:
        """Run an action that has one answer."""
        return _found(self.ask(action, **parameters)[0])

    def clean(self) -> str:
        """Remove the directory; return what is left, and why."""
        return _left(self.ask("clean")[0])

    def look(self) -> Look:
        """Try every feature that one node can show."""
        look = Look(self.session.host, "ok")
        for line in self.ask("features", mount_point=self.mount_point):
            if "feature" in line:
                look = look.with_found(cast("Feature", line["feature"]), _found(line))
            elif "failed" in line:
                look = replace(look, failed=str(line["failed"]))
            elif "left" in line:
                look = replace(look, left=_left(line))
        return look


def look(session: Session, mounts: Sequence[Backend], plans: Sequence[Plan]) -> list[tuple[Look, Place]]:
    """Return what each mount can do on the session's node; one that is not ok is not touched.

    Raises:
        UnsupportedError: as for `Place.ask`.
        HostError: the node does not answer.

    """
    verdicts = probe.look(session, [mount.mounted() for mount in mounts])
    looks = []
    for mount, plan, verdict in zip(mounts, plans, verdicts, strict=True):
        place = Place(session, plan.data_path, plan.mount_point, mount.user)
        if verdict.word == "ok":
            looks.append((_tried(place), place))
        else:
            told = f"the mount is {verdict.word}" + (f": {verdict.detail}" if verdict.detail else "")
            looks.append((Look(session.host, verdict.word, told), place))
    return looks


def _tried(place: Place) -> Look:
    try:
        return place.look()
    except HostError as error:
        # What is wrong for one mount, such as a user who does not exist, need not be so for the next.
        return Look(place.session.host, "ok", error.message.removeprefix(f"{error.host}: {error.phase}: "))


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """The lines that are JSON; what a login or runuser says beside them is passed over."""
    for line in text.splitlines():
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict):
            yield document


def _found(line: Mapping[str, Any]) -> Found:
    if line.get("result") not in get_args(Result):
        raise ValueError(f"a result of {line}")
    return Found(line["result"], str(line.get("error", "")), str(line.get("detail", "")))


def _left(line: Mapping[str, Any]) -> str:
    return f"{line['left']}: {line['error'] or line['detail']}" if line.get("left") else ""
