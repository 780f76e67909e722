"""The command as a whole, against moto's S3: what the YAML names is there, and is what nodes shall run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from core_examples import MOUNT
from invoke.context import Context
from invoke.exceptions import Exit

from mounttool import config
from mounttool import node as nodes
from mounttool.deliver import document, recipe_scripts
from mounttool.render import Intent
from mounttool.tasks.parallelcluster import parallelcluster

ON_NODE = """
metadata_password = "ssm:/prod/redis"
access_key = "ssm:/prod/key"
secret_key = "ssm:/prod/secret"

[mount.data]
backend = "mountpoint_s3"
bucket = "my-data"
mount_point = "/mnt/data"
"""


@pytest.fixture
def bucket(aws: None) -> Any:  # noqa: ARG001 - its client is made in there
    client = boto3.client("s3")
    client.create_bucket(Bucket="scripts", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return client


@pytest.fixture
def file(tmp_path: Path) -> Path:
    keys = [line for line in MOUNT.splitlines() if "env:" not in line]
    path = tmp_path / "mounttool.toml"
    path.write_text("\n".join(keys) + ON_NODE)
    return path


def run(capsys: pytest.CaptureFixture[str], **flags: Any) -> list[dict[str, Any]]:
    """The actions of every node, which must be alike."""
    parallelcluster(Context(), **flags)
    found = yaml.safe_load(capsys.readouterr().out)
    parts = [found["HeadNode"], *found.get("Scheduling", {}).get("SlurmQueues", [])]
    (actions,) = {str(part["CustomActions"]["OnNodeConfigured"]["Sequence"]) for part in parts}
    assert actions
    return list(found["HeadNode"]["CustomActions"]["OnNodeConfigured"]["Sequence"])


def text(bucket: Any, address: str) -> str:
    name, _, key = address.removeprefix("s3://").partition("/")
    return str(bucket.get_object(Bucket=name, Key=key)["Body"].read().decode())


def test_each_mount_of_the_file_is_a_script_in_its_order(
    bucket: Any, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = {"bucket": "s3://scripts/cluster", "queues": "demo,gpu", "node": "al2023-amd64", "config": str(file)}
    planned = run(capsys, **flags, dry_run=True)
    assert "Contents" not in bucket.list_objects_v2(Bucket="scripts")

    actions = run(capsys, **flags)

    assert actions == planned
    loaded = config.load(file)
    node = nodes.declare("al2023-amd64")
    assert [text(bucket, action["Script"]) for action in actions] == [
        document.script(loaded.file, [mount], node, Intent()) for mount in loaded.mounts
    ]
    assert [action["Script"].rpartition("-")[0] for action in actions] == [
        "s3://scripts/cluster/checkpoints",
        "s3://scripts/cluster/data",
    ]
    assert run(capsys, **flags) == actions


def test_the_recipe_is_install_once_and_mount_for_each_bucket(bucket: Any, capsys: pytest.CaptureFixture[str]) -> None:
    install, one, two = run(
        capsys, bucket="s3://scripts", recipe="DEMO-BUCKET-NAME /HOST-FILESYSTEM-PATH; public /p --allow-root --debug"
    )
    assert text(bucket, install["Script"]) == recipe_scripts.install_script()
    assert "Args" not in install
    assert one["Script"] == two["Script"]
    assert text(bucket, one["Script"]) == recipe_scripts.mount_script()
    assert one["Args"] == ["DEMO-BUCKET-NAME", "/HOST-FILESYSTEM-PATH"]
    assert two["Args"] == ["public", "/p", "--allow-root --debug"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"node": None}, "--node: expected what the cluster's nodes are"),
        ({"bucket": "scripts"}, "--bucket scripts: expected s3://BUCKET/PREFIX"),
        ({"queues": "A"}, "--queues 'A': expected"),
        ({"bucket": "s3://nobodys"}, "HeadBucket"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_what_cannot_be_is_told_in_one_line(
    file: Path, capsys: pytest.CaptureFixture[str], flags: dict[str, Any], said: str
) -> None:
    given = {"bucket": "s3://scripts", "node": "al2023-amd64", "config": str(file), **flags}
    with pytest.raises(Exit):
        parallelcluster(Context(), **given)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
