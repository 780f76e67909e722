"""The very text that SSM Run Command would run, on a node: what it says is what the script over SSH says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from core_examples import declared
from private_root import PrivateRoot

from mounttool import node as nodes
from mounttool.deliver import document, ssm
from mounttool.deliver.ssm import Invocation
from mounttool.render import Intent

pytestmark = pytest.mark.stubbed

STORAGE = declared("local", mount_point="/mnt/data", link="/data", consumers=["docker.service"])


def send(root: PrivateRoot, command: str) -> Invocation:
    process = root.popen(command)
    stdout, stderr = process.communicate(timeout=120)
    return Invocation("i-0123456789abcdef0", "Failed" if process.returncode else "Success", stdout, stderr)


@pytest.mark.parametrize("packed", [False, True])
def test_a_node_is_mounted_by_it_and_a_second_run_over_ssh_finds_nothing_to_do(
    open_root: Callable[..., PrivateRoot], monkeypatch: pytest.MonkeyPatch, *, packed: bool
) -> None:
    if packed:
        monkeypatch.setattr(ssm, "LIMIT_BYTES", 30_000)
    root = open_root("al2023", "bash")
    node = nodes.declare("al2023-amd64")
    # The stubs mount nothing else.
    monkeypatch.setattr(type(STORAGE), "fstype", "tmpfs")
    plan = STORAGE.plan(node)
    command = ssm.command(document.script("mounttool.toml", [STORAGE], node, Intent()))
    assert command.startswith("#!/bin/sh\n# Written by mounttool")
    assert ("base64 -d" in command.splitlines()[1]) is packed

    first = ssm.result(send(root, command), [plan])

    assert first.error is None, first.error
    assert [outcome.status for outcome in first.value or []] == ["changed"]
    assert root.run([plan]).statuses() == {"ok"}
    (second,) = ssm.result(send(root, command), [plan]).value or []
    assert {step.status for step in second.steps} == {"ok"}


def test_a_node_that_is_not_as_declared_says_so_and_is_left_alone(open_root: Callable[..., PrivateRoot]) -> None:
    root = open_root("debian12")
    before = root.tree()
    node = nodes.declare("al2023-amd64")
    script = document.script("mounttool.toml", [STORAGE], node, Intent())
    result = ssm.result(send(root, ssm.command(script)), [STORAGE.plan(node)])
    assert "this script is for another node: its distribution is debian, declared was amzn" in str(result.error)
    assert root.tree() == before
