from __future__ import annotations

import re
from pathlib import Path

import pytest
from core_examples import FLEET, MOUNT, TYPICAL, mount

from mounttool import config
from mounttool.errors import ConfigError, InputError

PASTED = "hunter2-Invented"


def refused(text: str, file: str = "mounttool.toml") -> InputError:
    with pytest.raises(InputError) as caught:
        config.parse(text, file)
    shown = str(caught.value)
    assert "\n" not in shown
    assert shown.startswith(f"{file}: ")
    assert caught.value.exit_code == 2
    return caught.value


def with_key(line: str, text: str = TYPICAL) -> str:
    key = line.partition(" =")[0]
    return "\n".join(old for old in text.splitlines() if not old.startswith(f"{key} =")) + f"\n{line}\n"


@pytest.mark.parametrize(
    ("line", "key", "value", "expected"),
    [
        ('mountpoint = "/x"', "mountpoint", None, "no such key; known are .*mount_point"),
        ('mount_point = "mnt/jfs"', "mount_point", "mnt/jfs", "an absolute path"),
        ('mount_point = "/"', "mount_point", "/", "a path below /"),
        ('mount_point = "/mnt/../etc"', "mount_point", "/mnt/../etc", r"without \. and \.\."),
        ('directory = "/abs"', "directory", "/abs", "a relative path"),
        ('directory = "../up"', "directory", "../up", "a relative path"),
        ('mode = "rwx"', "mode", "rwx", "pattern"),
        ('role = "cache"', "role", "cache", "'checkpoint', 'scratch' or 'data'"),
        ('volume = "UPPER"', "volume", "UPPER", "pattern"),
        ('bucket = "ftp://x"', "bucket", "ftp://x", "https://BUCKET"),
        ('bucket = "/"', "bucket", "/", "https://BUCKET"),
        ('bucket = "http://host:port/x"', "bucket", "http://host:port/x", "an address whose host and port can be read"),
        ('bucket = "http://[half/x"', "bucket", "http://[half/x", "an address whose host and port can be read"),
        ('metadata = "ftp://x"', "metadata", "ftp://x", "redis://HOST:PORT/DB"),
        ('metadata = "redis://host:6379"', "metadata", "redis://host:6379", "the number of the Redis database"),
        ('metadata = "redis://host:0/1"', "metadata", "redis://host:0/1", "redis://HOST:PORT"),
        ('metadata = "redis://host:65536/1"', "metadata", "redis://host:65536/1", "redis://HOST:PORT"),
        ('metadata = "mysql://u@h/a b"', "metadata", "mysql://u@h/a b", "a database name"),
        ('metadata = "sqlite3://relative"', "metadata", "sqlite3://relative", "sqlite3:///ABSOLUTE/PATH"),
        ('consumers = ["docker"]', "consumers.0", "docker", "pattern"),
        ("minimum_free = -1", "minimum_free", -1, "greater than or equal to 0"),
        ('options = { "--max-uploads" = 1 }', "options", None, "a flag of `juicefs mount` without dashes in front"),
        ("options = { background = true }", "options", None, "no 'background'"),
        ('release = { version = "latest" }', "release.version", "latest", "pattern"),
        ('release = { url = "juicefs.tar.gz" }', "release.url", "juicefs.tar.gz", "pattern"),
        ('release = { sha256 = { amd64 = "abc" } }', "release.sha256.amd64", "abc", "pattern"),
        ("link = 1", "link", 1, "a valid string"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_was_expected(
    line: str, key: str, value: object, expected: str
) -> None:
    error = refused(with_key(line))
    assert isinstance(error, ConfigError)
    assert error.key == f"mount.checkpoints.{key}"
    assert error.value == value
    assert f"mount.checkpoints.{key}" + ("" if value is None else f" = {value!r}") + ": expected " in str(error)
    assert re.search(expected, error.expected)


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        (FLEET + "colour = 1", "fleet.colour", "no such key; known are"),
        (FLEET + "parallelism = 0", "fleet.parallelism", "greater than or equal to 1"),
        (FLEET + 'host_keys = "any"', "fleet.host_keys", "'strict' or 'accept-new'"),
        (TYPICAL + "[fleets]\n", "fleets", r"only \[fleet\] and \[mount.NAME\]"),
        ('[mount.a]\nbackend = "floppy"\n', "mount.a.backend", "one of .*juicefs"),
        ("[mount.a]\n", "mount.a.backend", "one of .*juicefs"),
        ("[mount.a]\nbackend = 1\n", "mount.a.backend", "one of .*juicefs"),
        ('[mount]\na = "b"\n', "mount", r"tables such as \[mount.checkpoints\]"),
        ("mount = 1\n", "mount", r"tables such as \[mount.checkpoints\]"),
        ("fleet = 1\n", "fleet", "dictionary"),
        (MOUNT.replace("mount.checkpoints", "mount.Check"), "mount.Check", "a name of lower-case letters"),
        (MOUNT + 'name = "x"\n', "mount.checkpoints.name", "the table's name is the mount's name"),
        ('[mount.a]\nbackend = "juicefs"\n', "mount.a.mount_point", "this key is required"),
    ],
)
def test_a_wrong_table_is_named_with_what_was_expected(text: str, key: str, expected: str) -> None:
    error = refused(text)
    assert isinstance(error, ConfigError)
    assert error.key == key
    assert re.search(expected, error.expected)


@pytest.mark.parametrize("line", ['link = "/mnt/jfs"', 'link = "/mnt/jfs/inner"', 'link = "/mnt"'])
def test_a_link_into_or_around_the_mount_point_is_refused(line: str) -> None:
    assert re.search(
        "link: a path .* the mount point /mnt/jfs|outside of the mount point /mnt/jfs", str(refused(with_key(line)))
    )


def test_a_link_that_only_begins_like_the_mount_point_is_taken() -> None:
    assert mount(link='"/mnt/jfs2"').link == "/mnt/jfs2"


@pytest.mark.parametrize("key", ["metadata_password", "access_key", "secret_key"])
@pytest.mark.parametrize(
    "value", [f'"{PASTED}"', f'["{PASTED}"]', f'{{ env = "{PASTED}" }}', f'"vault:{PASTED}"', f'"env{PASTED}"']
)
def test_a_secret_pasted_where_a_reference_belongs_is_not_shown(key: str, value: str) -> None:
    error = refused(with_key(f"{key} = {value}"))
    assert f"mount.checkpoints.{key}: expected a reference" in str(error)
    assert PASTED not in str(error) + repr(error) + repr(vars(error))
    assert error.__suppress_context__


def test_a_sudo_password_pasted_is_not_shown() -> None:
    error = refused(f'[fleet]\nsudo_password = "{PASTED}"\n')
    assert "fleet.sudo_password: expected a reference" in str(error)
    assert PASTED not in str(error) + repr(vars(error))


def test_a_secret_under_a_mistyped_key_is_not_shown() -> None:
    assert PASTED not in str(refused(with_key(f'metadata_pasword = "{PASTED}"')))


@pytest.mark.parametrize(
    "address",
    [
        f"redis://:{PASTED}@host:6379/1",
        f"redis://user:{PASTED}@host:6379/1",
        f"redis://:{PASTED}/x@host:6379/1",
        f"redis://:{PASTED}@x@host:6379/1",
        f"redis://{PASTED}/x@host/1",
        f"mysql://user:{PASTED}@(host:3306)/db",
        f"mysql://user:{PASTED}(x@(host:3306)/db",
        f"postgres://user:{PASTED}?x@host/db",
        f"postgres://user:x?{PASTED}@host/db",
        f"oracle://user:{PASTED}@host/db",
    ],
)
def test_a_password_within_the_metadata_address_is_refused_and_not_shown(address: str) -> None:
    error = refused(with_key(f'metadata = "{address}"'))
    assert "mount.checkpoints.metadata: expected" in str(error)
    assert "metadata_password" in str(error)
    assert PASTED not in str(error) + repr(vars(error))


@pytest.mark.parametrize("address", [f"https://key:{PASTED}@host/bucket", f"http://{PASTED}@host:9000/bucket"])
def test_keys_within_the_bucket_address_are_refused_and_not_shown(address: str) -> None:
    error = refused(with_key(f'bucket = "{address}"'))
    assert "mount.checkpoints.bucket: expected an address without keys" in str(error)
    assert PASTED not in str(error) + repr(vars(error))


def test_keys_for_s3_come_in_pairs() -> None:
    text = "\n".join(line for line in TYPICAL.splitlines() if not line.startswith("secret_key"))
    assert "access_key and secret_key together" in str(refused(text))


def test_writeback_is_refused_for_checkpoints() -> None:
    error = refused(with_key("options = { writeback = true }"))
    assert "no 'writeback' for role checkpoint" in str(error)
    assert "accept_data_loss = true" in str(error)


@pytest.mark.parametrize("line", ["accept_data_loss = true", 'role = "scratch"'])
def test_writeback_is_taken_where_loss_is_accepted_and_warned_of(line: str) -> None:
    mounts = config.parse(with_key(line, with_key("options = { writeback = true }"))).mounts
    assert mounts[0].warnings() == ("writeback acknowledges data that only this node has: it is lost with the node",)
    assert mount().warnings() == ()


def test_writeback_that_is_off_needs_no_acceptance() -> None:
    assert mount(options="{ writeback = false }").warnings() == ()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\ninvented\n-----END CERTIFICATE-----\n", encoding="utf-8")
    return file


def test_an_own_ca_with_mysql_is_refused(certificate: Path) -> None:
    text = with_key(f'metadata_ca = "{certificate}"', with_key('metadata = "mysql://u@host/db"'))
    assert "metadata_ca: an own CA with rediss:// or postgres:// only" in str(refused(text))


def test_an_own_ca_is_found_beside_the_file_and_must_be_one(certificate: Path) -> None:
    file = str(certificate.parent / "mounttool.toml")
    found = config.parse(with_key('metadata_ca = "ca.pem"'), file).mounts[0]
    assert str(certificate) == found.model_dump()["metadata_ca"]
    (certificate.parent / "other.pem").write_text("no certificate", encoding="utf-8")
    for name in ("other.pem", "none.pem", "."):
        assert "the path of a PEM file" in str(refused(with_key(f'metadata_ca = "{name}"'), file))


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [("mount_point", "mount_point", "mount_point"), ("link", "link", "link"), ("mount_point", "link", "link")],
)
def test_two_mounts_never_share_a_path(first: str, second: str, key: str) -> None:
    other = MOUNT.replace("mount.checkpoints", "mount.other")
    other = other.replace("/mnt/jfs", "/mnt/other").replace("/mmc-checkpoint", "/other-link")
    assert len(config.parse(TYPICAL + other).mounts) == 2
    path = {"mount_point": "/mnt/jfs", "link": "/mmc-checkpoint"}[first]
    error = refused(TYPICAL + with_key(f'{second} = "{path}/"', other))
    assert isinstance(error, ConfigError)
    assert error.key == f"mount.other.{key}"
    assert f"a path of its own: mount.checkpoints.{first} is the same" in str(error)


@pytest.mark.parametrize("text", ["[fleet", "a = ", "[fleet]\n[fleet]\n", 'a = "\x01"'])
def test_what_is_not_toml_is_said_to_be_so(text: str) -> None:
    assert "not valid TOML" in str(refused(text))


def test_a_file_that_is_missing_or_unreadable_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: No such file or directory$"):
        config.load(tmp_path / "none.toml")
    with pytest.raises(InputError, match=r"Is a directory$"):
        config.load(tmp_path)
    (tmp_path / "latin").write_bytes(b"# \xe4\n")
    with pytest.raises(InputError, match="expected UTF-8 text"):
        config.load(tmp_path / "latin")


def test_a_missing_default_file_says_how_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"config\.example"):
        config.load()


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meta").write_text("there", encoding="utf-8")
    (tmp_path / "mounttool.toml").write_text(
        with_key('metadata_password = "file:meta"').replace(
            'user = "ops"', 'key = "id"\nssh_config = "~nobody-invented/c"'
        ),
        encoding="utf-8",
    )
    monkeypatch.chdir("/")
    found = config.load(tmp_path / "mounttool.toml")
    assert found.mounts[0].model_dump()["metadata_password"].reveal() == "there"
    assert found.fleet.key == str(tmp_path / "id")
    assert found.fleet.ssh_config == str(tmp_path / "~nobody-invented/c")


def test_mounts_are_selected_by_kind_and_name_or_the_declared_ones_are_told() -> None:
    loaded = config.parse(TYPICAL)
    assert loaded.select() == loaded.select(backend="juicefs") == loaded.select(name="checkpoints") == loaded.mounts
    with pytest.raises(InputError, match=r"expected one of .*juicefs"):
        loaded.select(backend="floppy")
    with pytest.raises(InputError, match=r"no mount with name x: declared are checkpoints \(juicefs\)"):
        loaded.select(name="x")
    with pytest.raises(InputError, match="no mount with any name: declared are none"):
        config.parse(FLEET).select()


def test_an_empty_file_is_a_fleet_of_defaults() -> None:
    assert config.parse("").mounts == ()
    assert config.parse("").fleet.host_keys == "strict"
