"""A kept connection goes when it is of no use, and is never one that somebody else can use.

That the next command uses it is tried on the lab's nodes: a real sshd takes several sessions on one connection.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import scripted_sshd as sshd

from mounttool.config import Fleet
from mounttool.deliver import fleet, kept, ssh
from mounttool.deliver.ssh import SshSession


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime directory of the test's own; pytest's paths are too long for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="mt-"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    forget_what_was_asked()
    yield folder
    for path in folder.glob("mounttool/*"):
        kept.forget(path)
    shutil.rmtree(folder)
    forget_what_was_asked()


def forget_what_was_asked() -> None:
    kept._folder.cache_clear()
    kept._shares.cache_clear()


@pytest.fixture
def settings(keys: sshd.Keys, tmp_path: Path) -> Fleet:
    config = tmp_path / "ssh_config"
    config.write_text("")
    return Fleet(key=str(keys.user), known_hosts=str(keys.known_hosts), ssh_config=str(config), connect_attempts=1)


def answer(port: int, settings: Fleet) -> str:
    session = SshSession(f"127.0.0.1:{port}", settings)
    try:
        return session.run("echo here").stdout
    finally:
        session.close()


@pytest.mark.parametrize(
    "changed",
    [
        {"keep_connections_s": 0},
        {"known_hosts": "known_hosts of somebody else"},
        {"host_keys": "accept-new"},
        {"user": "somebody"},
        {"key": "another"},
    ],
    ids=str,
)
def test_what_would_be_checked_otherwise_is_another_connection(settings: Fleet, changed: dict[str, object]) -> None:
    other = settings.model_copy(update=changed)

    assert kept.socket("node1", settings)
    assert kept.socket("node1", other) != kept.socket("node1", settings)


def test_a_changed_ssh_config_is_another_connection(settings: Fleet) -> None:
    before = kept.socket("node1", settings)
    Path(str(settings.ssh_config)).write_text("Host node1\n    HostName 10.0.0.7\n")

    assert kept.socket("node1", settings) != before


@pytest.mark.parametrize("line", ["ControlPath ~/.ssh/%C", "controlmaster=auto", "Include other"])
def test_where_ssh_config_says_how_to_share_that_holds(settings: Fleet, tmp_path: Path, line: str) -> None:
    (tmp_path / "other").write_text("Host *\n  ControlPersist 10m\n")
    Path(str(settings.ssh_config)).write_text(f"Host *\n    {line.replace('other', str(tmp_path / 'other'))}\n")

    assert kept.socket("node1", settings) is None


def test_a_folder_that_others_can_look_into_keeps_nothing(settings: Fleet, runtime: Path) -> None:
    (runtime / "mounttool").mkdir()
    (runtime / "mounttool").chmod(0o755)

    assert kept.socket("node1", settings) is None


def test_a_path_too_long_for_a_socket_keeps_nothing(
    settings: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))

    assert kept.socket("node1", settings) is None


def test_a_socket_that_nobody_listens_at_is_no_hindrance(node: int, settings: Fleet) -> None:
    path = kept.socket(f"127.0.0.1:{node}", settings)
    assert path
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    assert answer(node, settings) == "here\n"


def test_a_kept_connection_that_hangs_is_given_up_for_a_new_one(
    node: int, settings: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "_KEPT_S", 0.1)
    path = kept.socket(f"127.0.0.1:{node}", settings)
    assert path
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen()

        assert answer(node, settings) == "here\n"


def test_a_node_that_does_not_answer_is_told_of_as_if_nothing_was_kept(settings: Fleet) -> None:
    with sshd.tcp(b"") as port:
        host = f"127.0.0.1:{port}"
        path = kept.socket(host, settings)
        assert path
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        impatient = settings.model_copy(update={"connect_timeout_s": 2})
        results = fleet.each([host], impatient, lambda session: session.run("echo"))

    assert "it sends no SSH banner within the connect timeout" in str(results[0].error)


def test_a_fleet_that_is_not_worked_on_at_once_keeps_nothing(node: int, settings: Fleet, runtime: Path) -> None:
    hosts = [f"127.0.0.{number}:{node}" for number in (1, 2)]
    one_by_one = settings.model_copy(update={"parallelism": 1})

    fleet.each(hosts, one_by_one, lambda session: session.run("echo"))
    assert list(runtime.glob("mounttool/*")) == []
    fleet.each(hosts[:1], one_by_one, lambda session: session.run("echo"))
    assert len(list(runtime.glob("mounttool/*"))) == 1
