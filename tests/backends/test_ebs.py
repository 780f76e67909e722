from __future__ import annotations

import uuid
from typing import Any

import pytest
from core_examples import NODES, declared, packages, refusal, refused_together, unit
from hypothesis import given
from hypothesis import strategies as st
from nasty_text import nasty

from mounttool.backends.ebs import Ebs
from mounttool.errors import ConfigError
from mounttool.plan import Ensure, Observed

NODE = NODES["al2023-amd64"]
VOLUME = "vol-0123456789abcdef0"
GIVEN = "0f0e0d0c-0b0a-0908-0706-050403020100"


def ebs(**keys: Any) -> Ebs:
    found = declared("ebs", **keys)
    assert isinstance(found, Ebs)
    return found


@pytest.mark.parametrize(
    ("keys", "key", "expected"),
    [
        ({"volume": None}, "volume", "either volume or device"),
        ({"device": "/dev/sdb"}, "volume", "either volume or device"),
        ({"volume": "vol0123456789abcdef0"}, "volume", "pattern"),
        ({"volume": "vol-0123456789ABCDEF0"}, "volume", "pattern"),
        ({"volume": None, "device": "sdb"}, "device", "an absolute path"),
        ({"volume": None, "device": "/dev/../etc/shadow"}, "device", "without . and .."),
        ({"filesystem": "btrfs"}, "filesystem", "'xfs' or 'ext4'"),
        ({"uuid": "1234-ABCD"}, "uuid", "pattern"),
        ({"role": "checkpoint"}, "role", "'scratch' or 'data'"),
        ({"options": {"noatime": "a b"}}, "options", "without commas"),
        ({"size": "10GiB"}, "size", "no such key; known are consumers, device"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_key_and_what_was_expected(
    keys: dict[str, Any], key: str, expected: str
) -> None:
    said = refusal("ebs", **keys)
    assert key in said
    assert expected in said


@given(st.from_regex("vol-[0-9a-f]{17}", fullmatch=True), st.from_regex("vol-[0-9a-f]{17}", fullmatch=True))
def test_a_volume_s_uuid_is_its_own_on_every_node_and_in_every_run(one: str, other: str) -> None:
    assert ebs(volume=one).identity == ebs(volume=one, mount_point="/elsewhere").identity
    assert (ebs(volume=one).identity == ebs(volume=other).identity) == (one == other)
    assert str(uuid.UUID(ebs(volume=one).identity)) == ebs(volume=one).identity


def test_the_uuid_of_a_volume_never_changes_between_versions() -> None:
    """A file system that was made under it would not be found again."""
    assert ebs().identity == "e176693a-5e7f-5bc3-a0ff-d51eca3af76e"
    assert ebs(uuid=GIVEN).identity == GIVEN


@pytest.mark.parametrize(("filesystem", "package"), [("xfs", "xfsprogs"), ("ext4", "e2fsprogs")])
def test_the_file_system_is_found_by_its_uuid_and_made_only_when_none_was_declared(
    filesystem: str, package: str
) -> None:
    mount = ebs(filesystem=filesystem)
    plan = mount.plan(NODE)
    found = unit(plan, "mnt-data.mount")
    assert found["What"] == [f"/dev/disk/by-uuid/{mount.identity}"]
    assert (found["Type"], found["Options"]) == ([filesystem], ["noatime"])
    assert "network" not in found["After"][0], "a disk needs no network"
    assert packages(plan) == [package]
    attached, made, grown = [step for step in plan.steps if isinstance(step, Ensure)]
    assert attached.title == f"volume {VOLUME} is attached"
    assert (made.environment["DECLARED"], made.environment["IDENTITY"]) == ("", mount.identity)
    assert grown.title == "/mnt/data fills its volume"
    declared_one = [step for step in ebs(uuid=GIVEN).plan(NODE).steps if isinstance(step, Ensure)][1]
    assert (declared_one.environment["DECLARED"], declared_one.environment["IDENTITY"]) == (GIVEN, GIVEN)


def test_the_mount_table_says_nothing_of_a_disk_and_so_the_uuid_is_looked_at() -> None:
    mount = ebs()
    assert (mount.mounted().fstype, mount.mounted().source) == ("", "")
    (seen,) = [check for check in mount.plan(NODE).checks if isinstance(check, Observed)]
    assert (seen.expected, "/mnt/data" in seen.command) == (mount.identity, True)


def test_a_disk_is_of_one_node_and_needs_no_warning_as_scratch() -> None:
    assert not Ebs.shared
    assert ebs().plan(NODE).warnings == ()
    assert ebs().role == "scratch"


def table(name: str, mount_point: str, key: str, value: str) -> str:
    return f'[mount.{name}]\nbackend = "ebs"\nmount_point = "{mount_point}"\n{key} = "{value}"\n'


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (table("a", "/a", "volume", VOLUME), table("b", "/b", "volume", VOLUME), f"both mount {VOLUME}"),
        (table("a", "/a", "device", "/dev/sdb"), table("b", "/b", "device", "/dev//sdb"), "both mount /dev/sdb"),
        (
            table("a", "/a", "volume", VOLUME),
            table("b", "/a", "volume", "vol-0123456789abcdef1"),
            "a path of its own: mount.a.mount_point is the same",
        ),
        (
            table("a", "/a/in", "volume", VOLUME),
            table("b", "/a", "volume", "vol-0123456789abcdef1"),
            "[mount.a] after [mount.b]",
        ),
    ],
)
def test_two_mounts_that_cannot_be_on_one_node_are_refused(first: str, second: str, said: str) -> None:
    assert said in refused_together(first + second)


@given(value=nasty)
def test_whatever_is_typed_is_refused_or_reaches_unit_and_script_as_it_is(value: str) -> None:
    for key, text in (("device", "/dev/" + value), ("options", {"context": value}), ("mount_point", "/mnt/" + value)):
        try:
            mount = ebs(**{"volume": None if key == "device" else VOLUME, key: text})
        except ConfigError:
            continue
        plan = mount.plan(NODE)
        found = unit(plan, mount.unit)
        assert found["Where"] == [mount.mount_point]
        assert found["Options"] == [mount.settings()["options"]]
        assert found["What"] == [f"/dev/disk/by-uuid/{mount.identity}"]
        (attached, _, _) = [step for step in plan.steps if isinstance(step, Ensure)]
        assert (attached.environment["DEVICE"], attached.environment["VOLUME"]) == (
            mount.device or "",
            mount.volume or "",
        )
