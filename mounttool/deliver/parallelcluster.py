"""AWS ParallelCluster's custom actions: what a head node and the nodes of queues run when they are configured.

Source: https://docs.aws.amazon.com/parallelcluster/latest/ug/custom-bootstrap-actions-v3.html; Sequence since 3.6.0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mounttool.errors import InputError


@dataclass(frozen=True, slots=True)
class Action:
    """A script in S3 (``s3://BUCKET/KEY``), and its arguments."""

    script: str
    arguments: tuple[str, ...] = ()


def queues(text: str) -> tuple[str, ...]:
    """Return the names in ``text``, which has commas between them.

    Raises:
        InputError: one is no queue's name, or comes twice.

    """
    names = tuple(part.strip() for part in text.split(",")) if text else ()
    for name in names:
        if not re.fullmatch("[a-z][a-z0-9-]{0,24}", name):
            raise InputError(f"--queues {name!r}: expected a lower-case letter, then letters, digits and -, 25 at most")
    if len(set(names)) < len(names):
        raise InputError(f"--queues {text}: expected each queue once")
    return names


def document(actions: Sequence[Action], queue_names: Sequence[str], bucket: str, prefix: str) -> str:
    """Return YAML to merge into a cluster's configuration: head node and each queue run ``actions`` one after another.

    They may read the bucket's objects below ``prefix`` and nothing else of it.
    """
    # Late: only this command needs it.
    import yaml  # noqa: PLC0415

    # Made anew each time: YAML would show that two parts are one object.
    cluster = {"HeadNode": _node(actions, bucket, prefix)}
    if queue_names:
        listed = [{"Name": name, **_node(actions, bucket, prefix)} for name in queue_names]
        cluster["Scheduling"] = {"SlurmQueues": listed}
    return str(yaml.safe_dump(cluster, sort_keys=False, width=1000))


def _node(actions: Sequence[Action], bucket: str, prefix: str) -> dict[str, object]:
    sequence = [
        {"Script": action.script, **({"Args": list(action.arguments)} if action.arguments else {})}
        for action in actions
    ]
    access = {"BucketName": bucket, **({"KeyName": f"{prefix}/*"} if prefix else {}), "EnableWriteAccess": False}
    return {"CustomActions": {"OnNodeConfigured": {"Sequence": sequence}}, "Iam": {"S3Access": [access]}}
