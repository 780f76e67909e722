"""How a mount is, asked of the node in one round trip, without ever hanging on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from mounttool import render
from mounttool.errors import HostError
from mounttool.plan import Mounted
from mounttool.session import Session

Word = Literal["ok", "absent", "dead", "hung", "wrong-source", "stacked", "read-only"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``word`` is the whole answer; ``detail`` says why in words of the node."""

    word: Word
    detail: str = ""


def look(session: Session, mounts: Sequence[Mounted]) -> list[Verdict]:
    """Return a verdict for each mount, in order.

    Raises:
        HostError: the node does not answer, or not in a way that is understood.

    """
    calls = "".join(f'( {render.words("set", "--", "probe", *mount.arguments)}; node_main "$@" )\n' for mount in mounts)
    # The same file that stays on nodes, so that a node without it can be asked too.
    completed = session.run(f"node_main() {{\n{render.HELPER}\n}}\n{calls}")
    lines = completed.stdout.splitlines()
    words = [line.partition(" ")[0] for line in lines]
    if len(lines) != len(mounts) or not set(words) <= set(get_args(Word)):
        said = (completed.stdout + completed.stderr).strip().splitlines()
        raise HostError(session.host, "run", f"unexpected answer to a probe: {said[-1] if said else 'nothing'}")
    return [Verdict(cast("Word", word), line.partition(" ")[2]) for word, line in zip(words, lines, strict=True)]
