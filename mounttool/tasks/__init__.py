"""The commands. Each parses its flags, calls the package and prints; nothing imports them.

Exit codes: 0 all is well; 1 a node, a step or a check failed; 2 the input cannot be used; 130 interrupted.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType

from invoke.collection import Collection

#: Which module has a command, in the order in which they are listed.
_COMMANDS = {
    "plan": "mounts",
    "provision": "mounts",
    "mount": "mounts",
    "unmount": "mounts",
    "status": "mounts",
    "script": "documents",
    "ssm": "ssm",
    "parallelcluster": "parallelcluster",
    "userdata": "documents",
    "launchtemplate": "documents",
    "verify": "verification",
    "compat": "compatibility",
    "bench": "benchmark",
    "compare": "comparison",
    "live": "live",
    "mountpoint-s3": "recipe",
    "inventory": "inventory",
    "nextflow": "nextflow",
}
#: Which module has all commands of a group, as ``lab`` has ``lab.up``.
_GROUPS = {"config": "configuration", "lab": "laboratory"}


def commands(words: Sequence[str] = ()) -> Collection:
    """Return the commands that a command line of these words names; all of them when it does not begin with one.

    The others are not imported, which takes as long as the login to a node.
    """
    names = [word.partition(".")[0] for word in words]
    known = {*_COMMANDS, *_GROUPS}
    wanted = known.intersection(names) if names and names[0] in known else known
    chosen = Collection()
    for name, module in _COMMANDS.items():
        if name in wanted:
            chosen.add_task(getattr(_read(module), name.replace("-", "_")))
    for name, module in _GROUPS.items():
        if name in wanted:
            chosen.add_collection(Collection.from_module(_read(module), name=name))
    return chosen


def _read(module: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{module}")
