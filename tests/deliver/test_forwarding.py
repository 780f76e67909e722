"""Unix sockets here and on a node, joined by OpenSSH; the servers are asyncssh's, with a real handshake."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import scripted_sshd as sshd

from mounttool.config import Fleet
from mounttool.deliver import openssh
from mounttool.deliver.local import LocalSession
from mounttool.deliver.ssh import SshSession
from mounttool.errors import HostError
from mounttool.session import Session


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short: a socket's name has at most 107 bytes."""
    return tmp_path_factory.mktemp("s")


def over_ssh(keys: sshd.Keys, port: int) -> SshSession:
    known = {"key": str(keys.user), "known_hosts": str(keys.known_hosts), "ssh_config": "/dev/null"}
    return SshSession(f"127.0.0.1:{port}", Fleet.model_validate({**known, "connect_timeout_s": 30}))


@contextlib.contextmanager
def greeter(path: Path, word: bytes) -> Iterator[None]:
    """Says a word to whoever has called and said something."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    caller, _ = listener.accept()
                    with caller:
                        if caller.recv(1):
                            caller.sendall(word)

        threading.Thread(target=serve, daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


def said_at(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(30)
        caller.connect(str(path))
        caller.sendall(b"?")
        return caller.recv(100)


def holds_both_ways(session: Session, folder: Path) -> None:
    there, here = folder / "there", folder / "here"
    to_node, from_node = folder / "to node", folder / "from node"
    with (
        greeter(there, b"the node"),
        greeter(here, b"this machine"),
        session.forward(local={str(to_node): str(there)}, remote={str(from_node): str(here)}),
    ):
        assert said_at(to_node) == b"the node"
        assert said_at(from_node) == b"this machine"


def test_sockets_are_joined_both_ways_as_long_as_it_is_asked_for(
    keys: sshd.Keys, ports: dict[str, int], folder: Path
) -> None:
    session = over_ssh(keys, ports["forwards"])
    holds_both_ways(session, folder)

    with pytest.raises(OSError, match=r"refused|No such file"):
        said_at(folder / "to node")
    session.close()


def test_on_this_machine_they_are_joined_without_ssh(folder: Path) -> None:
    holds_both_ways(LocalSession(), folder)


@pytest.mark.parametrize(
    ("local", "remote"), [({"to node": "there"}, {}), ({}, {"from node": "here"})], ids=["to the node", "from it"]
)
def test_a_node_that_forwards_nothing_says_so_with_what_to_change(
    keys: sshd.Keys, ports: dict[str, int], folder: Path, local: dict[str, str], remote: dict[str, str]
) -> None:
    session = over_ssh(keys, ports["shell"])
    paths = [{str(folder / one): str(folder / other) for one, other in ends.items()} for ends in (local, remote)]
    with (
        greeter(folder / "there", b""),
        pytest.raises(HostError, match=r"sockets cannot be forwarded: .*AllowStreamLocalForwarding yes"),
        session.forward(local=paths[0], remote=paths[1]),
    ):
        pass
    session.close()


def test_a_connection_that_forwards_is_no_one_else_s_and_does_not_outlive_its_command(tmp_path: Path) -> None:
    words = openssh.argv("node1", Fleet(), 1, "true", tmp_path / "ssh", own=True)

    options = [word for word in words if word.startswith("Control")]
    assert options == ["ControlMaster=yes", f'ControlPath="{tmp_path}/ssh"', "ControlPersist=no"]
    assert "ClearAllForwardings=yes" in words
