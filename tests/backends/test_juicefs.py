from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from core_examples import NODES, mount

from mounttool import backends
from mounttool.errors import UnsupportedError
from mounttool.node import Node
from mounttool.plan import Cache, Ensure, Linked, Mounted, Ordered, Package, Plan, Reachable, Release, Unit

NODE = NODES["debian12-amd64"]


def packages(plan: Plan | None) -> list[str]:
    assert plan is not None
    return [name for step in plan.steps if isinstance(step, Package) for name in step.names]


def only(plan: Plan, kind: type) -> list[object]:
    return [step for step in plan.steps if isinstance(step, kind)]


def test_every_backend_names_itself_and_its_file_system() -> None:
    for kind, backend in backends.kinds().items():
        assert backend.kind == kind
        assert isinstance(backend.fstype, str)
        assert backend.__module__ == f"mounttool.backends.{kind.replace('-', '_')}"


@pytest.mark.parametrize(
    ("node", "metadata", "expected"),
    [
        ("debian12-amd64", "redis://h/1", "redis-tools"),
        ("al2023-amd64", "redis://h/1", "redis6"),
        ("rhel9-amd64", "redis://h/1", "redis"),
        ("debian12-amd64", "mysql://u@h/d", "mariadb-client"),
        ("al2023-arm64", "mysql://u@h/d", "mariadb105"),
        ("al2-amd64", "mysql://u@h/d", "mariadb"),
        ("ubuntu2404-amd64", "postgres://u@h/d", "postgresql-client"),
        ("al2023-amd64", "postgres://u@h/d", "postgresql15"),
    ],
)
def test_a_provision_brings_the_client_of_its_engine(node: str, metadata: str, expected: str) -> None:
    assert packages(mount(metadata=f'"{metadata}"').provision(NODES[node]))[-1] == expected


@pytest.mark.parametrize(
    ("metadata", "states"),
    [
        ("redis://h/1", ["Redis persists and does not evict", "volume"]),
        ("mysql://u@h/d", ["database d at h:3306", "volume"]),
        ("postgres://u@h:5/d", ["database d at h:5", "volume"]),
        ("sqlite3:///x.db", ["volume"]),
    ],
)
def test_a_provision_ends_with_the_volume(metadata: str, states: list[str]) -> None:
    plan = mount(metadata=f'"{metadata}"').provision(NODE)
    assert plan is not None
    titles = [step.title for step in plan.steps if isinstance(step, Ensure)]
    assert [title.partition(" checkpoints in ")[0] for title in titles][-len(states) :] == states


def test_the_release_is_of_the_node_s_architecture() -> None:
    (amd64,), (arm64,) = (only(mount().plan(NODES[f"debian12-{name}"]), Release) for name in ("amd64", "arm64"))
    assert isinstance(amd64, Release)
    assert isinstance(arm64, Release)
    assert "linux-amd64" in amd64.url
    assert "linux-arm64" in arm64.url
    assert amd64.sha256 != arm64.sha256


def test_a_release_without_a_known_checksum_is_refused_with_the_key_to_set() -> None:
    with pytest.raises(UnsupportedError, match=r"JuiceFS 1\.0\.0 on amd64.*release\.sha256\.amd64"):
        mount(release='{ version = "1.0.0" }').plan(NODE)


@pytest.mark.parametrize(("lacks", "named"), [("has_fuse", "/dev/fuse"), ("has_systemd", "systemd")])
def test_a_node_that_cannot_have_the_mount_is_told_why(lacks: str, named: str) -> None:
    with pytest.raises(UnsupportedError, match=named) as caught:
        mount().plan(dataclasses.replace(NODE, **{lacks: False}))
    assert caught.value.hint


def test_flags_of_the_user_stand_above_the_profile_s_and_those_above_the_tool_s() -> None:
    text = mount(options="{ buffer-size = 4096, check-storage = false }").settings()
    assert (text["buffer-size"], text["check-storage"], text["max-fuse-io"]) == ("4096", "false", "1M")
    assert mount(profile='"checkpoint"').settings()["buffer-size"] == "1024"


def test_a_cold_read_must_empty_juicefs_own_cache_when_it_has_one() -> None:
    assert mount().caches() == (Cache("page"),)
    cached = mount(options="{ cache-size = 100 }").caches()
    assert cached == (Cache("page"), Cache("directory", "/var/cache/juicefs/checkpoints"))
    two = mount(options='{ cache-size = 100, cache-dir = "/a:/b" }').caches()
    assert two[1:] == (Cache("directory", "/a"), Cache("directory", "/b"))


@pytest.mark.parametrize(
    ("bucket", "endpoint"),
    [
        ("https://b.s3.amazonaws.com", ("b.s3.amazonaws.com", 443)),
        ("http://minio:9000/b", ("minio", 9000)),
        ("http://minio/b/", ("minio", 80)),
    ],
)
def test_the_endpoints_must_answer_before_anything_is_mounted(bucket: str, endpoint: tuple[str, int]) -> None:
    plan = mount(bucket=f'"{bucket}"').plan(NODE)
    asked = [(step.host, step.port) for step in plan.steps if isinstance(step, Reachable)]
    assert asked == [("cache.example.com", 6379), endpoint]
    kinds = [step.kind for step in plan.steps]
    assert max(i for i, kind in enumerate(kinds) if kind == "reachable") < kinds.index("unit")


def test_the_checks_say_what_must_be_seen() -> None:
    checks = mount().plan(NODE).checks
    assert Mounted("/mnt/jfs", "fuse.juicefs", "JuiceFS:checkpoints", 1) in checks
    assert Linked("/mmc-checkpoint", "/mnt/jfs/mmc-checkpoint") in checks
    assert Ordered("mounttool-mnt-jfs.service", "docker.service") in checks


def test_without_consumers_there_is_no_gate() -> None:
    units = [step.name for step in mount(consumers="[]").plan(NODE).steps if isinstance(step, Unit)]
    assert units == ["juicefs-mnt-jfs.service"]


def test_without_a_link_the_user_writes_to_the_directory() -> None:
    text = mount().model_dump() | {"link": None}
    plan = type(mount()).model_validate(text).plan(NODE)
    assert plan.data_path == "/mnt/jfs/mmc-checkpoint"
    assert "symlink" not in [step.kind for step in plan.steps]


def test_an_own_ca_lies_beside_the_environment_and_restarts_the_mount(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n", encoding="utf-8")
    plan = mount(metadata_ca=f'"{tmp_path}/ca.pem"').plan(Node())
    (file,) = [step for step in plan.steps if step.kind == "file"]
    assert (file.path, file.restarts) == ("/etc/mounttool/checkpoints-ca.pem", ("juicefs-mnt-jfs.service",))  # type: ignore[attr-defined]
    (unit, _) = [step for step in plan.steps if isinstance(step, Unit)]
    assert f"tls-ca-cert-file={file.path}" in unit.content  # type: ignore[attr-defined]
