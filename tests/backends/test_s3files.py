from __future__ import annotations

from typing import Any

import pytest
from core_examples import NODES, declared, packages, refusal, refused_together, unit
from hypothesis import given
from nasty_text import nasty

from mounttool.backends.s3files import S3Files
from mounttool.errors import ConfigError, UnsupportedError
from mounttool.plan import Ensure, KernelModule, Observed

NODE = NODES["al2023-amd64"]
ID = "fs-0123456789abcdef0"
RECOMMENDED = "nfsvers=4.2,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport,_netdev"


def s3files(**keys: Any) -> S3Files:
    found = declared("s3files", **keys)
    assert isinstance(found, S3Files)
    return found


@pytest.mark.parametrize(
    ("keys", "key", "expected"),
    [
        ({"file_system": None}, "file_system", "this key is required"),
        ({"file_system": "my-bucket"}, "file_system", "pattern"),
        ({"access_point": "fs-1"}, "access_point", "pattern"),
        ({"region": "us-east-1a"}, "region", "pattern"),
        ({"mount_target": "10.0.1.20,tls"}, "mount_target", "pattern"),
        ({"path": "a"}, "path", "pattern"),
        ({"tls": False}, "tls", "no such key; known are access_point"),
        ({"iam": False}, "iam", "no such key"),
        ({"options": {"timeo": "1,2"}}, "options", "without commas"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_key_and_what_was_expected(
    keys: dict[str, Any], key: str, expected: str
) -> None:
    said = refusal("s3files", **keys)
    assert key in said
    assert expected in said


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ({}, f"{RECOMMENDED},tls,iam"),
        (
            {"access_point": "fsap-0123456789abcdef0", "region": "us-east-1", "mount_target": "10.0.1.20"},
            f"{RECOMMENDED},tls,iam,accesspoint=fsap-0123456789abcdef0,region=us-east-1,mounttargetip=10.0.1.20",
        ),
        ({"options": {"timeo": 50}}, f"{RECOMMENDED.replace('timeo=600', 'timeo=50')},tls,iam"),
    ],
)
def test_encryption_and_the_role_s_authority_are_no_choice(keys: dict[str, Any], options: str) -> None:
    mount = s3files(**keys)
    found = unit(mount.plan(NODE), "mnt-data.mount")
    assert (found["What"], found["Type"], found["Options"]) == ([f"{ID}:/"], ["s3files"], [options])
    assert mount.settings() == {"options": options}


def test_the_kernel_sees_the_near_end_of_the_proxy() -> None:
    seen = s3files(path="/a").mounted()
    assert (seen.mount_point, seen.fstype, seen.source) == ("/mnt/data", "nfs4", "127.0.0.1:/a")


@pytest.mark.parametrize(
    ("node", "expected", "installed"),
    [
        ("al2023-amd64", ["amazon-efs-utils"], []),
        ("ubuntu2404-arm64", ["curl"], ["program mount.s3files (amazon-efs-utils)"]),
        ("rhel9-amd64", ["curl"], ["program mount.s3files (amazon-efs-utils)"]),
    ],
)
def test_the_helper_is_a_package_of_amazon_linux_and_aws_installer_elsewhere(
    node: str, expected: list[str], installed: list[str]
) -> None:
    plan = s3files().plan(NODES[node])
    assert packages(plan) == expected
    assert [step.title for step in plan.steps if isinstance(step, Ensure)] == installed
    assert [step.name for step in plan.steps if isinstance(step, KernelModule)] == ["nfsv4"]


@pytest.mark.parametrize("node", ["al2-amd64", "al2-arm64"])
def test_amazon_linux_2_is_refused_by_name(node: str) -> None:
    with pytest.raises(UnsupportedError, match=r"^Amazon Linux 2 has no amazon-efs-utils 3") as caught:
        s3files().plan(NODES[node])
    assert "\n" not in str(caught.value)


def test_the_read_ahead_is_set_after_each_mount_and_looked_at() -> None:
    plan = s3files().plan(NODE)
    (command,) = unit(plan, "mounttool-tune-mnt-data.service")["ExecStart"]
    assert command.endswith('"readahead" "/mnt/data" "15360"')
    assert [check.expected for check in plan.checks if isinstance(check, Observed)] == ["15360"]


def test_two_mounts_at_one_path_are_refused() -> None:
    text = "".join(
        f'[mount.{name}]\nbackend = "s3files"\nmount_point = "/mnt/x"\nfile_system = "{ID}"\n' for name in ("a", "b")
    )
    assert "a path of its own: mount.a.mount_point is the same" in refused_together(text)


@given(value=nasty)
def test_whatever_is_typed_is_refused_or_reaches_the_unit_as_it_is(value: str) -> None:
    for key, text in (("path", "/" + value), ("mount_target", value), ("options", {"context": value})):
        try:
            mount = s3files(**{key: text})
        except ConfigError:
            continue
        found = unit(mount.plan(NODE), mount.unit)
        assert found["What"] == [f"{ID}:{mount.path}"]
        assert found["Options"] == [mount.settings()["options"]]
        assert found["TimeoutSec"] == ["60"]
