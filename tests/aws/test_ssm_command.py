"""The command as a whole: what it sends, its table and JSON, and how it ends; SSM's answers are botocore's stub's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber
from invoke.context import Context
from invoke.exceptions import Exit

from mounttool import node as nodes
from mounttool.aws import run_command
from mounttool.aws.run_command import RunCommand
from mounttool.config import load
from mounttool.deliver import document
from mounttool.render import Intent
from mounttool.tasks.ssm import ssm

COMMAND = "c0ffee00-0000-4000-8000-000000000000"
ONE, TWO = "i-0123456789abcdef0", "i-0123456789abcdef1"
FILE = '[mount.scratch]\nbackend = "local"\npath = "/var/scratch"\nmount_point = "/mnt/scratch"\n'
DONE = (
    "mounttool\tbegin\tscratch\tx\nmounttool\tstep\tchanged\t1\tdirectory /mnt/scratch\t\nmounttool\tend\tscratch\t0\n"
)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "mounttool.toml"
    path.write_text(FILE)
    return str(path)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    client = boto3.client("ssm")
    runner = RunCommand(client, boto3.client("s3"), pause=lambda _seconds: None)
    monkeypatch.setattr(run_command, "connect", lambda _region, _bucket: runner)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def answer(stub: Stubber, script: str, **answers: tuple[str, str]) -> None:
    expected = {
        "DocumentName": "AWS-RunShellScript",
        "Comment": "mounttool mount scratch",
        "Parameters": {"commands": [script], "executionTimeout": ["900"]},
        "TimeoutSeconds": ANY,
        "MaxConcurrency": "10%",
        "MaxErrors": "1",
        "Targets": [{"Key": "tag:Role", "Values": ("worker",)}],
    }
    stub.add_response("send_command", {"Command": {"CommandId": COMMAND}}, expected)
    done = {"Status": "Failed", "CompletedCount": len(answers), "TargetCount": len(answers)}
    stub.add_response("list_commands", {"Commands": [done]}, {"CommandId": COMMAND})
    names = {"one": ONE, "two": TWO}
    listed = [{"InstanceId": names[name]} for name in answers]
    stub.add_response("list_command_invocations", {"CommandInvocations": listed}, {"CommandId": COMMAND})
    for name, (status, stdout) in answers.items():
        said = {"StatusDetails": status, "StandardOutputContent": stdout}
        asked = {"CommandId": COMMAND, "InstanceId": names[name]}
        stub.add_response("get_command_invocation", said, asked)


def run(file: str, **flags: Any) -> None:
    given = {"targets": "tag:Role=worker", "node": "al2023-amd64", "max_concurrency": "10%", "max_errors": "1"}
    ssm(Context(), **{**given, "timeout": "15min", "config": file, **flags})


def script(file: str, *, dry_run: bool = False) -> str:
    loaded = load(file)
    return document.script(file, loaded.mounts, nodes.declare("al2023-amd64"), Intent(dry_run=dry_run))


def test_all_well_is_a_table_as_mount_has_it(stub: Stubber, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    answer(stub, script(file), one=("Success", DONE))
    run(file)
    said = capsys.readouterr()
    assert ONE in said.out
    assert "changed directory /mnt/scratch" in said.out
    assert f"SSM command {COMMAND}: 1 of 1 nodes are done" in said.err


def test_a_node_that_failed_is_status_1_and_the_others_are_told(
    stub: Stubber, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(stub, script(file, dry_run=True), one=("Success", DONE), two=("DeliveryTimedOut", ""))
    with pytest.raises(Exit) as caught:
        run(file, dry_run=True, json_=True)
    assert caught.value.code == 1
    said = capsys.readouterr()
    first, second = json.loads(said.out)
    assert (first["host"], first["mounts"][0]["status"]) == (ONE, "changed")
    assert (second["host"], second["mounts"]) == (TWO, [])
    assert second["error"].startswith(f"{TWO}: connect: its agent did not take the command in time")
    assert said.err == ""


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"targets": "worker"}, "--targets 'worker': expected tag:KEY=VALUE"),
        ({"node": "al2023"}, "--node al2023: expected DISTRIBUTION-ARCHITECTURE"),
        ({"max_errors": "many"}, "--max-errors 'many': expected"),
        ({"timeout": "soon"}, "soon"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_sent(
    stub: Stubber, file: str, capsys: pytest.CaptureFixture[str], flags: dict[str, str], said: str
) -> None:
    assert stub.client.meta.region_name
    with pytest.raises(Exit) as caught:
        run(file, **flags)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err
