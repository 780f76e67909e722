"""SSM Run Command: send one script to many nodes, wait until all are done, and fetch what each of them said."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mounttool.aws.connection import CONFIG, session, told
from mounttool.deliver.ssm import KEPT_OUTPUT, Invocation
from mounttool.errors import AwsError, InputError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_ssm.type_defs import SendCommandRequestTypeDef

DOCUMENT = "AWS-RunShellScript"
#: How long SSM tries to hand the command to a node's agent.
DELIVERY_S = 600
#: Where a node's output lies in the bucket.
PREFIX = "mounttool"
_DONE = {"Success", "Cancelled", "Failed", "TimedOut"}

Progress = Callable[[str, int, int], None]


class StoppedCommandError(AwsError):
    """Ctrl-C while nodes were at work."""

    exit_code = 130


@dataclass(frozen=True, slots=True)
class Targets:
    """Which nodes: by their ids, or by tags, all of which must fit, each to one of its values."""

    instances: tuple[str, ...] = ()
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """As SSM takes them: a number or a percentage; ``timeout_s`` is for the script on one node."""

    max_concurrency: str = "50"
    max_errors: str = "100%"
    timeout_s: int = 600


def parse_targets(text: str) -> Targets:
    """Return the targets in ``tag:Role=worker,tag:Env=prod`` or ``i-0123,i-4567``; a tag given twice has two values.

    Raises:
        InputError: it is neither.

    """
    parts = [part.strip() for part in text.split(",")]
    if all(re.fullmatch(r"i-[0-9a-f]{8,17}|mi-[0-9a-f]{17}", part) for part in parts):
        if len(parts) > 50:
            raise InputError(f"--targets: {len(parts)} ids: SSM takes at most 50", hint="name a tag: tag:KEY=VALUE")
        return Targets(tuple(dict.fromkeys(parts)))
    tags: dict[str, tuple[str, ...]] = {}
    for part in parts:
        key, _, value = part.removeprefix("tag:").partition("=")
        if not part.startswith("tag:") or not key or not value:
            raise InputError(f"--targets {part!r}: expected tag:KEY=VALUE, or instance ids only, with commas between")
        tags[key] = (*tags.get(key, ()), value)
    if len(tags) > 5:
        raise InputError(f"--targets: {len(tags)} tags: SSM takes at most 5")
    return Targets(tags=tags)


def parse_limits(max_concurrency: str, max_errors: str, timeout_s: float) -> Limits:
    """Return limits that SSM takes.

    Raises:
        InputError: they are not of its form.

    """
    forms = {
        "max-concurrency": (max_concurrency, r"[1-9][0-9]{0,6}|[1-9][0-9]?%|100%", "a number from 1 on"),
        "max-errors": (max_errors, r"0|[1-9][0-9]{0,6}|[0-9]%|[1-9][0-9]%|100%", "a number from 0 on"),
    }
    for flag, (value, form, what) in forms.items():
        if not re.fullmatch(form, value):
            raise InputError(f"--{flag} {value!r}: expected {what}, or a percentage such as 10%")
    if not 1 <= timeout_s <= 172_800:
        raise InputError(f"--timeout {timeout_s:g}: expected 1 to 172800 seconds: SSM takes no more than two days")
    return Limits(max_concurrency, max_errors, int(timeout_s))


class RunCommand:
    """One command. ``progress`` hears its id, how many nodes are done, and of how many."""

    def __init__(
        self, ssm: SSMClient, s3: S3Client, *, bucket: str | None = None, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._ssm = ssm
        self._s3 = s3
        self._bucket = bucket
        self._pause = pause

    def run(self, command: str, targets: Targets, limits: Limits, comment: str, progress: Progress) -> list[Invocation]:
        """Send ``command``, wait for the last node and return what each said, in the order of their ids.

        Raises:
            InputError: no node fits the targets.
            AwsError: AWS refused, or could not be reached; or Ctrl-C.

        """
        with told():
            sent = self._ssm.send_command(**self._request(command, targets, limits, comment))
            identity = sent["Command"].get("CommandId", "")
            try:
                self._wait(identity, limits.timeout_s, progress)
                return self._answers(identity)
            except KeyboardInterrupt:
                self._ssm.cancel_command(CommandId=identity)
                raise StoppedCommandError(
                    f"interrupted; SSM command {identity} is cancelled: some nodes may be done, others cut off",
                    hint="run it again: what is done stays done",
                ) from None

    def _request(self, command: str, targets: Targets, limits: Limits, comment: str) -> SendCommandRequestTypeDef:
        request: SendCommandRequestTypeDef = {
            "DocumentName": DOCUMENT,
            "Comment": comment[:100],
            "Parameters": {"commands": [command], "executionTimeout": [str(limits.timeout_s)]},
            "TimeoutSeconds": DELIVERY_S,
            "MaxConcurrency": limits.max_concurrency,
            "MaxErrors": limits.max_errors,
        }
        if targets.instances:
            request["InstanceIds"] = targets.instances
        else:
            request["Targets"] = [{"Key": f"tag:{key}", "Values": values} for key, values in targets.tags.items()]
        if self._bucket:
            request["OutputS3BucketName"] = self._bucket
            request["OutputS3KeyPrefix"] = PREFIX
        return request

    def _wait(self, identity: str, patience_s: float, progress: Progress) -> None:
        # One call for the whole command, however many nodes there are.
        pause, told_of = 1.0, (-1, -1)
        while True:
            self._pause(pause)
            pause = min(pause * 1.5, 10)
            commands = self._ssm.list_commands(CommandId=identity)["Commands"]
            if not commands:
                continue
            done, of = state = (commands[0].get("CompletedCount", 0), commands[0].get("TargetCount", 0))
            if state != told_of:
                progress(identity, *state)
                told_of = state
            if commands[0].get("Status") in _DONE:
                # With too many errors it is over while some nodes are still at work.
                if done >= of or patience_s <= 0:
                    return
                patience_s -= pause

    def _answers(self, identity: str) -> list[Invocation]:
        pages = self._ssm.get_paginator("list_command_invocations").paginate(CommandId=identity)
        found = [one["InstanceId"] for page in pages for one in page["CommandInvocations"] if "InstanceId" in one]
        if not found:
            raise InputError(
                "--targets: no node that SSM manages fits", hint="see Fleet Manager for those that it does"
            )
        return [self._answer(identity, instance) for instance in sorted(found)]

    def _answer(self, identity: str, instance: str) -> Invocation:
        got = self._ssm.get_command_invocation(CommandId=identity, InstanceId=instance)
        stdout = got.get("StandardOutputContent", "")
        if self._bucket and len(stdout) >= KEPT_OUTPUT:
            stdout = self._whole(self._bucket, identity, instance) or stdout
        return Invocation(instance, got.get("StatusDetails", ""), stdout, got.get("StandardErrorContent", ""))

    def _whole(self, bucket: str, identity: str, instance: str) -> str:
        """The output in the bucket, which the agent may still be at writing; empty when it does not come."""
        for _ in range(5):
            listed = self._s3.list_objects_v2(Bucket=bucket, Prefix=f"{PREFIX}/{identity}/{instance}/")
            for one in listed.get("Contents", []):
                if one.get("Key", "").endswith("/stdout"):
                    body = self._s3.get_object(Bucket=bucket, Key=one["Key"])["Body"]
                    return body.read().decode(errors="replace")
            self._pause(2)
        return ""


def connect(region: str | None, bucket: str | None) -> RunCommand:
    """Return a way to run commands in ``region``.

    Raises:
        InputError: no region, or no credentials.

    """
    opened = session(region)
    with told():
        return RunCommand(opened.client("ssm", config=CONFIG), opened.client("s3", config=CONFIG), bucket=bucket)
