"""A document: a script that is kept and runs where nobody can be asked, such as in user-data.

It is the script that goes over SSH, byte for byte, behind a preamble that finds the declared facts of the node true.
"""

from __future__ import annotations

from collections.abc import Sequence

from mounttool import node as nodes
from mounttool import render
from mounttool.backends.base import Backend
from mounttool.deliver.apply import Chosen
from mounttool.errors import ConfigError, InputError
from mounttool.node import Node
from mounttool.plan import Plan
from mounttool.render import Intent
from mounttool.secrets import Secret


def script(file: str, mounts: Sequence[Backend], node: Node, intent: Intent, choose: Chosen = Backend.plan) -> str:
    """Return the script that brings a node such as ``node`` to what ``choose`` returns for each mount.

    ``file`` is the configuration, for messages. No secret is in it.

    Raises:
        ConfigError: a secret lies on this machine, where the node cannot read it.
        UnsupportedError: such a node cannot have one of the mounts.

    """
    refuse_secrets_of_this_machine(file, mounts)
    plans = [plan for mount in mounts if (plan := choose(mount, node)) is not None]
    return preamble(plans, node) + render.script(plans, intent)


def preamble(plans: Sequence[Plan], node: Node) -> str:
    """Return what runs before the script: it ends the shell unless the node is as declared."""
    if not plans:
        raise InputError("nothing to do: no mount needs anything on such a node")
    what = ", ".join(f"{plan.name} (plan {plan.digest})" for plan in plans)
    declared = "\n".join(f"{key}={value}" for key, value in nodes.declared_facts(node).items())
    return (
        f"#!/bin/sh\n# Written by mounttool for {node.distribution} {node.version} on {node.architecture}: {what}\n"
        f"facts() {{{nodes.PROBE}}}\ndeclared={render.words(declared)}\n{render.library('declared')}\n"
    )


def refuse_secrets_of_this_machine(file: str, mounts: Sequence[Backend]) -> None:
    """Refuse what a document would have to carry.

    Raises:
        ConfigError: the first such key.

    """
    for mount in mounts:
        for key in type(mount).model_fields:
            secret = getattr(mount, key)
            if isinstance(secret, Secret) and not secret.is_on_node:
                raise ConfigError(
                    file, f"mount.{mount.name}.{key}", secret.reference,
                    "ssm:NAME or secretsmanager:NAME, which a node reads itself: a document carries no secret",
                    hint=_way_out(f"/mounttool/{mount.name}/{key}", secret),
                )  # fmt: skip


def _way_out(name: str, secret: Secret) -> str:
    """How the secret gets into Parameter Store without being seen in the process list."""
    scheme, _, rest = secret.reference.partition(":")
    print_it = f'printf %s "${rest}"' if scheme == "env" else f'printf %s "$(cat {render.words(rest)})"'
    put = f"aws ssm put-parameter --type SecureString --name {name} --value file:///dev/stdin"
    return f"{print_it} | {put}; then write ssm:{name}"
