from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import pytest
import systemd_readers
from core_examples import NODES, SECRETS, declared, packages, refusal, refused_together, unit
from hypothesis import given
from nasty_text import nasty

from mounttool.backends.mountpoint_s3 import MountpointS3
from mounttool.errors import ConfigError, UnsupportedError
from mounttool.plan import Cache, Directory, Ensure, Environment, MountPoint, Plan, Reachable, Readable, Writable

NODE = NODES["al2023-amd64"]
REFERENCES = {"access_key": "env:EXAMPLE_S3_KEY", "secret_key": "env:EXAMPLE_S3_SECRET"}


def bucket(**keys: Any) -> MountpointS3:
    found = declared("mountpoint_s3", **keys)
    assert isinstance(found, MountpointS3)
    return found


def command(mount: MountpointS3) -> list[str]:
    (line,) = unit(mount.plan(NODE), mount.unit)["ExecStart"]
    return systemd_readers.command_line(line)


def reachable(plan: Plan) -> list[tuple[str, int]]:
    return [(step.host, step.port) for step in plan.steps if isinstance(step, Reachable)]


@pytest.mark.parametrize(
    ("keys", "key", "expected"),
    [
        ({"bucket": None}, "bucket", "this key is required"),
        ({"bucket": "a b"}, "bucket", "pattern"),
        ({"bucket": "--help"}, "bucket", "pattern"),
        ({"directory": "d"}, "directory", 'set prefix = "d/"'),
        ({"owner": "ops"}, "owner", "uid and gid"),
        ({"mode": "0777"}, "mode", "uid and gid"),
        ({"access_key": "env:EXAMPLE_S3_KEY"}, "access_key", "together"),
        ({"access_key": SECRETS["EXAMPLE_S3_KEY"]}, "access_key", "never the secret itself"),
        ({**REFERENCES, "no_sign_request": True}, "no_sign_request", "or no keys"),
        ({"cache_size": "1GiB"}, "cache_size", "only with cache"),
        ({"prefix": "a"}, "prefix", "pattern"),
        ({"prefix": "/a/"}, "prefix", "pattern"),
        ({"endpoint": "s3.example.com"}, "endpoint", "pattern"),
        ({"endpoint": "https://user@s3.example.com"}, "endpoint", "pattern"),
        ({"endpoint": "http://s3:port"}, "endpoint", "http://HOST:PORT"),
        ({"arguments": "--endpoint-url http://s3:99999"}, "endpoint", "http://HOST:PORT"),
        ({"region": "a:b"}, "region", "a name"),
        ({"allow": "everybody"}, "allow", "'other', 'root' or 'nobody'"),
        ({"run_as": "ops", "allow": "nobody"}, "run_as", "allow-root or allow-other"),
        ({"run_as": "ops", "arguments": "--read-only"}, "run_as", "allow-root or allow-other"),
        ({"options": {"read-only": True}}, "options", "not 'read-only'"),
        ({"options": {"a b": 1}}, "options", "not 'a b'"),
        ({"arguments": "--read-only", "writable": True}, "arguments", "all options, or none: writable is given too"),
        ({"arguments": "--read-only", "options": {"debug": True}}, "arguments", "options is given too"),
        ({"arguments": "--foreground"}, "arguments", "the unit sets it"),
        ({"arguments": "'open"}, "arguments", "as a shell reads them"),
        ({"largest_file": "100GiB"}, "largest_file", "set write_part_size to 11MiB or more"),
        ({"largest_file": "100GiB", "arguments": "--write-part-size 10485760"}, "largest_file", "10000 parts"),
        ({"buckets": 1}, "buckets", "no such key; known are access_key"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_key_and_what_was_expected(
    keys: dict[str, Any], key: str, expected: str
) -> None:
    said = refusal("mountpoint_s3", **keys)
    assert key in said
    assert expected in said
    assert not [value for value in SECRETS.values() if value in said]


@pytest.mark.parametrize(
    ("keys", "flags"),
    [
        ({}, "--read-only --allow-other"),
        ({"writable": True, "allow": "nobody"}, ""),
        ({"writable": True, "allow_delete": True, "allow_overwrite": True, "allow": "root"},
         "--allow-delete --allow-overwrite --allow-root"),
        ({"endpoint": "http://s3:9000", "path_style": True, "region": "us-east-1", "prefix": "a/"},
         "--force-path-style --read-only --allow-other --prefix a/ --region us-east-1 --endpoint-url http://s3:9000"),
        ({"cache": "/var/cache/m", "cache_size": "20GiB"},
         "--read-only --allow-other --cache /var/cache/m --max-cache-size 20480"),
        ({"read_part_size": "16MiB", "write_part_size": "64MiB", "uid": 0, "gid": 1000},
         "--read-only --allow-other --read-part-size 16777216 --write-part-size 67108864 --uid 0 --gid 1000"),
        ({"no_sign_request": True, "requester_pays": True},
         "--read-only --no-sign-request --requester-pays --allow-other"),
        ({"options": {"metadata-ttl": 60, "debug": True, "auto-unmount": False}},
         "--read-only --allow-other --metadata-ttl 60 --debug"),
        ({"arguments": "--allow-root --read-only --region 'us-east-1'"}, "--allow-root --read-only --region us-east-1"),
        ({"arguments": "--prefix 'a b/'"}, "--prefix 'a b/'"),
    ],
)  # fmt: skip
def test_the_keys_become_the_flags_and_arguments_stand_in_for_all_of_them(keys: dict[str, Any], flags: str) -> None:
    mount = bucket(**keys)
    assert mount.settings() == {"flags": flags}
    assert command(mount) == ["/usr/bin/mount-s3", "--foreground", *mount.flags(), "my-data", "/mnt/data"]


def test_the_unit_s_name_is_the_recipe_s() -> None:
    for name, where in (("my-data", "/mnt/data"), ("other-bucket", "/mnt/my data")):
        digest = hashlib.md5(f"{name}:{where}".encode(), usedforsecurity=False).hexdigest()[:8]
        assert bucket(bucket=name, mount_point=where).unit == f"mountpoint-s3-{digest}.service"
    assert bucket().unit == "mountpoint-s3-1dd1ce3f.service"


def test_the_mount_is_known_by_its_type_and_its_unit() -> None:
    seen = bucket().mounted()
    assert (seen.fstype, seen.source, seen.read_only) == ("fuse", "mountpoint-s3", True)
    assert not bucket(writable=True).mounted().read_only
    assert bucket(arguments="--read-only").read_only


@pytest.mark.parametrize(
    ("node", "version", "expected", "file"),
    [
        ("al2023-amd64", "latest", ["mount-s3"], ""),
        ("al2023-arm64", "1.19.0", ["curl", "gnupg2"], "/1.19.0/arm64/mount-s3-1.19.0-arm64.rpm"),
        ("al2-amd64", "latest", ["curl", "gnupg2"], "/latest/x86_64/mount-s3.rpm"),
        ("rhel9-arm64", "latest", ["curl", "gnupg2"], "/latest/arm64/mount-s3.rpm"),
        ("ubuntu2404-amd64", "latest", ["curl", "gnupg"], "/latest/x86_64/mount-s3.deb"),
        ("debian12-arm64", "1.19.0", ["curl", "gnupg"], "/1.19.0/arm64/mount-s3-1.19.0-arm64.deb"),
    ],
)
def test_the_package_is_the_distribution_s_or_aws_signed_one(
    node: str, version: str, expected: list[str], file: str
) -> None:
    plan = bucket(release={"version": version}).plan(NODES[node])
    assert packages(plan) == expected
    installs = [step for step in plan.steps if isinstance(step, Ensure)]
    assert [str(step.environment["PACKAGE"]).partition("mountpoint-s3-release")[2] for step in installs] == (
        [file] if file else []
    )
    if file:
        assert len(str(installs[0].environment["FINGERPRINTS"]).split()) == 2


@pytest.mark.parametrize(
    ("keys", "endpoint"),
    [
        ({}, ("s3.amazonaws.com", 443)),
        ({"region": "eu-west-1"}, ("s3.eu-west-1.amazonaws.com", 443)),
        ({"endpoint": "http://s3:9000"}, ("s3", 9000)),
        ({"endpoint": "http://s3"}, ("s3", 80)),
        ({"arguments": "--endpoint-url=https://s3.example.com:8443"}, ("s3.example.com", 8443)),
        ({"arguments": "--region us-west-2"}, ("s3.us-west-2.amazonaws.com", 443)),
    ],
)
def test_s3_must_answer_before_anything_is_mounted(keys: dict[str, Any], endpoint: tuple[str, int]) -> None:
    assert reachable(bucket(**keys).plan(NODE)) == [endpoint]


@pytest.mark.parametrize("arguments", [None, "--cache /c --read-only", "--cache=/c"])
def test_a_cold_read_must_empty_mountpoint_s_own_cache_when_it_has_one(arguments: str | None) -> None:
    mount = bucket(arguments=arguments) if arguments else bucket(cache="/c")
    assert mount.caches() == (Cache("page"), Cache("directory", "/c"))
    assert bucket().caches() == (Cache("page"),)


@pytest.mark.parametrize(
    ("keys", "largest"),
    [
        ({}, 83886080000),
        ({"write_part_size": "64MiB"}, 671088640000),
        ({"arguments": "--write-part-size=16777216"}, 167772160000),
        ({"arguments": "--part-size 16777216"}, 167772160000),
    ],
)
def test_no_file_can_have_more_than_ten_thousand_parts(keys: dict[str, Any], largest: int) -> None:
    assert bucket(**keys).largest_file_bytes == largest
    assert bucket(**keys).plan(NODE).largest_file_bytes == largest


def test_the_largest_file_that_is_declared_may_be_exactly_ten_thousand_parts() -> None:
    assert bucket(largest_file=83886080000)
    assert "largest_file" in refusal("mountpoint_s3", largest_file=83886080001)


def test_what_s3_cannot_depends_on_what_was_allowed() -> None:
    assert "delete" in bucket(writable=True).lacks()
    assert "delete" not in bucket(writable=True, allow_delete=True).lacks()
    assert {"rename", "append"} <= bucket(arguments="--allow-delete").lacks()
    assert "create" in bucket().lacks(), "a mount that is read-only"
    (warning,) = bucket(role="scratch", writable=True).plan(NODE).warnings
    assert "append" in warning
    assert bucket().plan(NODE).warnings == ()


def test_only_a_mount_that_can_delete_is_written_to() -> None:
    assert Readable("/mnt/data", "root") in bucket().plan(NODE).checks
    assert Readable("/mnt/data", "root") in bucket(writable=True).plan(NODE).checks
    assert Writable("/mnt/data", "root") in bucket(writable=True, allow_delete=True).plan(NODE).checks


def test_keys_are_in_the_environment_file_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    plan = bucket(**REFERENCES).plan(NODE)
    (environment,) = [step for step in plan.steps if isinstance(step, Environment)]
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} == set(environment.values)
    assert environment.restarts == (bucket().unit,)
    assert not [value for value in SECRETS.values() if value in repr(plan) + str(plan.document())]
    assert not next(step for step in bucket().plan(NODE).steps if isinstance(step, Environment)).values


def test_a_user_without_root_mounts_on_a_directory_of_its_own_with_a_cache_of_its_own() -> None:
    mount = bucket(run_as="ops", cache="/var/cache/m")
    plan = mount.plan(NODES["ubuntu2404-amd64"])
    found = unit(plan, mount.unit)
    assert (found["User"], found["PermissionsStartOnly"]) == (["ops"], ["true"])
    assert "fuse3" in packages(plan)
    assert "user_allow_other in /etc/fuse.conf" in [step.title for step in plan.steps]
    assert [step.owner for step in plan.steps if isinstance(step, MountPoint)] == ["ops"]
    assert [(step.owner, step.mode) for step in plan.steps if isinstance(step, Directory) and "cache" in step.path] == [
        ("ops", "0700")
    ]
    assert "User" not in unit(bucket().plan(NODE), bucket().unit)


def test_a_daemon_that_dies_is_started_again_without_limit_by_old_and_new_systemd() -> None:
    found = unit(bucket().plan(NODE), bucket().unit)
    assert (found["Restart"], found["StartLimitIntervalSec"], found["StartLimitInterval"]) == (["always"], ["0"], ["0"])


def test_a_node_without_fuse_is_told_so() -> None:
    with pytest.raises(UnsupportedError, match="/dev/fuse"):
        bucket().plan(dataclasses.replace(NODE, has_fuse=False))


def test_two_mounts_at_one_path_are_refused() -> None:
    text = "".join(
        f'[mount.{name}]\nbackend = "mountpoint_s3"\nmount_point = "/mnt/x"\nbucket = "bucket-{name}"\n'
        for name in ("a", "b")
    )
    assert "a path of its own: mount.a.mount_point is the same" in refused_together(text)


@given(value=nasty)
def test_whatever_is_typed_is_refused_or_reaches_the_daemon_as_it_is(value: str) -> None:
    for key, text in (
        ("bucket", value), ("prefix", f"a{value}/"), ("region", value), ("endpoint", f"http://{value}"),
        ("cache", f"/{value}"), ("options", {"user-agent-prefix": value}), ("arguments", value),
        ("mount_point", f"/mnt/{value}"),
    ):  # fmt: skip
        try:
            mount = bucket(**{key: text})
        except ConfigError:
            continue
        assert command(mount) == [
            "/usr/bin/mount-s3", "--foreground", *mount.flags(), mount.bucket, mount.mount_point,
        ]  # fmt: skip
        if key in {"prefix", "region", "endpoint", "cache"}:
            assert getattr(mount, key) in mount.flags()
