"""The lab's control groups: what runs in them was made by the lab, and nothing else was.

So no process is ever looked up by a recorded number, which another process may have by now. The layout, below the root
of every hierarchy::

    mtlab/                 the lab
    mtlab/node1/loop       files/node.sh
    mtlab/node1/boot3      a node's third boot; systemd-nspawn divides it into payload and supervisor
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mounttool.errors import LabError
from mounttool.lab.shell import wait

if TYPE_CHECKING:
    from mounttool.lab.settings import Settings

ROOT = Path("/sys/fs/cgroup")


def hierarchies() -> list[Path]:
    """List the roots to make groups in, version 2 first: alone on a current host, else beside some of version 1.

    files/node.sh has the same list.
    """
    roots = [ROOT, ROOT / "unified", ROOT / "systemd", ROOT / "memory"]
    found = [root for root in roots if (root / "cgroup.procs").exists()]
    return found if found and (found[0] / "cgroup.controllers").exists() else []


def looping(settings: Settings, node: str) -> bool:
    """Whether files/node.sh runs for the node."""
    return _populated(_group(settings, node) / "loop")


def current_boot(settings: Settings, node: str) -> Path | None:
    """The group of what runs in the node at present; None for a node that is down."""
    boots = [boot for boot in _group(settings, node).glob("boot*") if _populated(boot / "payload")]
    return boots[0] if boots else None


def kill(group: Path) -> None:
    """Kill all of a group's processes at once, without a word to any. The group must not be used again."""
    (group / "cgroup.kill").write_text("1")


def clear(settings: Settings, node: str = "") -> None:
    """Kill what runs for the lab or for one node, and remove its groups. Raises ``LabError`` when something stays."""
    top = _group(settings, node)
    if _populated(top):
        kill(top)
        if not wait(lambda: not _populated(top), timeout_s=20):
            raise LabError(f"{top}: processes that were killed are still there", hint="a hung mount holds them")
    for root in hierarchies():
        top = root / settings.name / node
        # The kernel says "busy" for a moment after a group's last process has gone.
        if not wait(lambda top=top: _prune(top), timeout_s=5):  # type: ignore[misc]
            raise LabError(f"{top}: the control group cannot be removed")


def _group(settings: Settings, node: str) -> Path:
    return (hierarchies() or [ROOT])[0] / settings.name / node


def _populated(group: Path) -> bool:
    try:
        return "populated 1" in (group / "cgroup.events").read_text()
    except OSError:
        return False


def _prune(top: Path) -> bool:
    """Remove a group and those below it, deepest first; True when it is gone."""
    below = sorted((path for path in top.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
    for group in [*below, top]:
        try:
            group.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True
