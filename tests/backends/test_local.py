from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from core_examples import NODES, declared, packages, refusal, refused_together, unit
from hypothesis import given
from nasty_text import nasty

from mounttool.backends.local import Local
from mounttool.errors import ConfigError
from mounttool.plan import Ensure, Observed

NODE = NODES["debian12-amd64"]


def local(**keys: Any) -> Local:
    found = declared("local", **keys)
    assert isinstance(found, Local)
    return found


@pytest.mark.parametrize(
    ("keys", "key", "expected"),
    [
        ({"path": None}, "path", "this key is required"),
        ({"path": "scratch"}, "path", "an absolute path"),
        ({"path": "/"}, "path", "a path below /"),
        ({"path": "/mnt/data"}, "path", "apart from the mount point /mnt/data"),
        ({"path": "/mnt/data/in"}, "path", "apart from the mount point"),
        ({"path": "/mnt"}, "path", "apart from the mount point"),
        ({"path": "/var/a\\"}, "path", "neither a space nor a backslash"),
        ({"path": "/var/a "}, "path", "neither a space nor a backslash"),
        ({"role": "checkpoint"}, "role", "'scratch' or 'data'"),
        ({"options": {}}, "options", "no such key; known are consumers, directory"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_key_and_what_was_expected(
    keys: dict[str, Any], key: str, expected: str
) -> None:
    said = refusal("local", **keys)
    assert key in said
    assert expected in said


def test_a_directory_is_bound_and_needs_no_package_and_no_network() -> None:
    plan = local().plan(NODE)
    found = unit(plan, "mnt-data.mount")
    assert (found["What"], found["Type"], found["Options"]) == (["/var/scratch"], ["none"], ["bind"])
    assert found["After"] == ["local-fs-pre.target"]
    assert packages(plan) == []
    assert (local().mounted().fstype, local().mounted().source) == ("", "")
    assert not Local.shared


@pytest.mark.parametrize(("second", "expected"), [("path", "1"), ("elsewhere", "2")])
def test_verify_tells_whether_the_directory_is_the_one_that_is_mounted(
    tmp_path: Path, second: str, expected: str
) -> None:
    for name in ("path", "elsewhere"):
        (tmp_path / name).mkdir()
    mount = local(path=str(tmp_path / "path"), mount_point=str(tmp_path / "with a space"))
    (tmp_path / "with a space").symlink_to(tmp_path / second)
    (seen,) = [check for check in mount.plan(NODE).checks if isinstance(check, Observed)]
    command = seen.command.replace("stat -c", "stat -L -c")
    assert subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.strip() == expected
    assert seen.expected == "1"


def test_two_mounts_at_one_path_are_refused() -> None:
    text = "".join(
        f'[mount.{name}]\nbackend = "local"\nmount_point = "/mnt/x"\npath = "/var/{name}"\n' for name in ("a", "b")
    )
    assert "a path of its own: mount.a.mount_point is the same" in refused_together(text)


@given(value=nasty)
def test_whatever_is_typed_is_refused_or_reaches_unit_and_script_as_it_is(value: str) -> None:
    for key, text in (("path", "/var/" + value), ("mount_point", "/mnt/" + value)):
        try:
            mount = local(**{key: text})
        except ConfigError:
            continue
        plan = mount.plan(NODE)
        found = unit(plan, mount.unit)
        assert (found["What"], found["Where"]) == ([mount.path], [mount.mount_point])
        assert (found["Type"], found["TimeoutSec"]) == (["none"], ["60"])
        (made,) = [step for step in plan.steps if isinstance(step, Ensure)]
        script = f'run() {{ shift 2; printf %s "$*"; }}\n{made.action}'
        said = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout.decode()
        assert said == mount.path
