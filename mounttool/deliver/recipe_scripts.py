"""aws-hpc-recipes' ``install.sh`` and ``mount.sh``, with what mounttool does in them.

Which node they will run on is not known, nor with which arguments. What is installed depends on the node: install.sh
holds a plan for each kind and chooses. What is mounted does not: mount.sh holds one plan, in which shell variables
stand for the arguments, and that plan once more for a mount that is read-only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

from mounttool import render
from mounttool.backends.mountpoint_s3 import MountpointS3
from mounttool.deliver.recipe import OPTIONS, USER
from mounttool.node import Node
from mounttool.plan import Plan, Step
from mounttool.render import Intent

#: The kinds of node that differ in what is installed, in the order that shell/recipe-install.sh counts.
_KINDS = (
    Node("amzn", "2023", "rhel", "amd64"),
    Node("debian", "", "debian", "amd64"),
    Node("debian", "", "debian", "arm64"),
    Node("rhel", "", "rhel", "amd64"),
    Node("rhel", "", "rhel", "arm64"),
)


def install_script() -> str:
    """Return ``install.sh``: it takes no argument."""
    plans = [_Installed.model_construct(name="mount-s3", mount_point="", run_as=USER).plan(node) for node in _KINDS]
    rendered = render.script(plans, Intent(), only='"$recipe_plan"')
    return f"#!/bin/sh\n# Written by mounttool: install.sh\n{render.library('recipe-install')}\n{rendered}"


def mount_script() -> str:
    """Return ``mount.sh``: it takes BUCKET DIRECTORY [OPTIONS]."""
    plans = [_of_variables(reads_only=reads_only).plan(_KINDS[0]) for reads_only in (False, True)]
    rendered = render.script(plans, Intent(), only='"$recipe_read_only"')
    default = f"recipe_options={render.words(OPTIONS)}\n"
    return (
        "#!/bin/sh\n# Written by mounttool: mount.sh BUCKET DIRECTORY [OPTIONS]\n"
        f"{default}{render.library('recipe-mount')}\n{_filled_in(rendered)}"
    )


class _Installed(MountpointS3):
    """Only what is installed."""

    def plan(self, node: Node) -> Plan:
        return Plan(self.name, self.kind, "", "", tuple(self.program(node)), hints=self.hints())


class _Mounted(MountpointS3):
    """All but what is installed; its words stand for variables."""

    reads_only: bool

    def client(self, node: Node) -> Iterator[Step]:  # noqa: ARG002 - the contract
        yield from self.access()

    @property
    def unit(self) -> str:
        return f"mountpoint-s3-{_variable('id')}.service"

    @property
    def read_only(self) -> bool:
        return self.reads_only

    def _endpoint(self) -> tuple[str, int]:
        # A number that the node will know.
        return _variable("host"), cast("int", _variable("port"))


def _of_variables(*, reads_only: bool) -> _Mounted:
    return _Mounted.model_construct(
        name=_variable("name"),
        bucket=_variable("bucket"),
        mount_point=_variable("path"),
        arguments=_variable("flags"),
        run_as=_variable("user"),
        reads_only=reads_only,
    )


def _variable(name: str) -> str:
    """What stands for a variable in a plan: the brace makes each word that holds it a quoted one."""
    return f"@{{{name}}}"


def _filled_in(script: str) -> str:
    """End the quotes around what stands for a variable, and let the shell put in its value."""
    return re.sub(r"@\{([a-z]+)\}", r"""'"$recipe_\1"'""", script)
