from __future__ import annotations

import pytest
import yaml

from mounttool.deliver import parallelcluster, recipe
from mounttool.deliver.parallelcluster import Action
from mounttool.errors import ConfigError, InputError

INSTALL = Action("s3://scripts/cluster/install-0.sh")
MOUNT = Action("s3://scripts/cluster/mount-1.sh", ("PUBLIC-BUCKET-NAME", "/shared", "--no-sign-request --allow-root"))


def test_head_node_and_each_queue_run_the_scripts_one_after_another_and_may_read_them() -> None:
    text = parallelcluster.document([INSTALL, MOUNT], ["demo", "gpu"], "scripts", "cluster")

    node = {
        "CustomActions": {
            "OnNodeConfigured": {
                "Sequence": [
                    {"Script": "s3://scripts/cluster/install-0.sh"},
                    {
                        "Script": "s3://scripts/cluster/mount-1.sh",
                        "Args": ["PUBLIC-BUCKET-NAME", "/shared", "--no-sign-request --allow-root"],
                    },
                ]
            }
        },
        "Iam": {"S3Access": [{"BucketName": "scripts", "KeyName": "cluster/*", "EnableWriteAccess": False}]},
    }
    assert yaml.safe_load(text) == {
        "HeadNode": node,
        "Scheduling": {"SlurmQueues": [{"Name": "demo", **node}, {"Name": "gpu", **node}]},
    }
    # Neither anchors nor aliases: people merge it by hand.
    assert "&" not in text
    assert "*id" not in text
    assert text.startswith("HeadNode:\n  CustomActions:\n    OnNodeConfigured:\n      Sequence:\n      - Script: s3://")


def test_without_queues_there_is_the_head_node_and_without_a_prefix_the_whole_bucket() -> None:
    found = yaml.safe_load(parallelcluster.document([INSTALL], [], "scripts", ""))
    assert found.keys() == {"HeadNode"}
    assert found["HeadNode"]["Iam"]["S3Access"] == [{"BucketName": "scripts", "EnableWriteAccess": False}]


def test_arguments_that_look_like_something_else_in_yaml_stay_text() -> None:
    odd = Action("s3://b/k", ("no", "0x1F", "--a: b", "[x]", "&x", "2026-01-01"))
    found = yaml.safe_load(parallelcluster.document([odd], [], "b", ""))
    assert found["HeadNode"]["CustomActions"]["OnNodeConfigured"]["Sequence"][0]["Args"] == list(odd.arguments)


@pytest.mark.parametrize("text", ["Compute", "a_b", "a,,b", "1a", "a" * 26])
def test_a_name_that_no_queue_has_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--queues .*: expected a lower-case letter"):
        parallelcluster.queues(text)
    with pytest.raises(InputError, match="--queues a,a: expected each queue once"):
        parallelcluster.queues("a,a")


def test_the_recipe_s_arguments_are_one_mount_or_several() -> None:
    assert recipe.arguments(" my-bucket  /shared/data ;public /p --no-sign-request   --allow-root") == [
        ("my-bucket", "/shared/data"),
        ("public", "/p", "--no-sign-request --allow-root"),
    ]


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("my-bucket", InputError, "--recipe 'my-bucket': expected BUCKET DIRECTORY [OPTIONS]"),
        ("my-bucket /a;", InputError, "--recipe '': expected BUCKET DIRECTORY"),
        (
            "my-bucket /a --allow-root $HOME",
            InputError,
            "--allow-root $HOME': expected letters, digits and /._+=,@:- only, not '$'",
        ),
        ("my-bucket data", ConfigError, "mount_point = 'data': expected an absolute path"),
        ("my-bucket /a --debug", ConfigError, "allow-root or allow-other"),
    ],
)
def test_arguments_that_mount_sh_would_refuse_are_refused_here(text: str, kind: type[InputError], said: str) -> None:
    with pytest.raises(kind) as caught:
        recipe.arguments(text)
    assert said in str(caught.value)
