"""SSH servers on loopback that hang where they are told to: a real handshake by asyncssh, up to that phase."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncssh


class Keys:
    """A user's key, a host's key, and a known_hosts file with the latter for every port of loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = folder / "id"
        self.known_hosts = folder / "known_hosts"
        for name in ("id", "host"):
            key = asyncssh.generate_private_key("ssh-ed25519")
            key.write_private_key(folder / name)
            (folder / name).chmod(0o600)
            key.write_public_key(folder / f"{name}.pub")
        self.known_hosts.write_text(f"[127.*]:* {(folder / 'host.pub').read_text()}")


class Server(asyncssh.SSHServer):
    """Lets the one key in, unless the login is where it hangs."""

    hangs = False

    async def _never(self) -> bool:
        await asyncio.sleep(3600)
        return False

    def begin_auth(self, _username: str) -> bool:  # type: ignore[override]
        return self._never() if self.hangs else True  # type: ignore[return-value]


class HangsAtLogin(Server):
    hangs = True


class Forwards(Server):
    """Lets Unix sockets be forwarded, both ways; the others do not."""

    def unix_connection_requested(self, _dest_path: str) -> bool:
        return True

    def unix_server_requested(self, _listen_path: str) -> bool:
        return True


@contextlib.contextmanager
def serving(keys: Keys) -> Iterator[dict[str, int]]:
    """Run a server for each mode, in a process of their own; yields their ports."""
    argv = [sys.executable, __file__, str(keys.folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()


async def shell(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """A real ``sh`` for the command, without root and sudo."""
    child = await asyncio.create_subprocess_shell(
        process.command or "true",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
    process.exit(await child.wait())


async def silent(_process: asyncssh.SSHServerProcess[bytes]) -> None:
    """A login whose shell never starts anything, as a sudo that waits for an answer."""
    await asyncio.sleep(3600)


async def endless(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """A shell that starts and then talks for ever."""
    process.stdout.write(b"mounttool-shell-started\n")
    while True:
        process.stdout.write(b"x" * 65536)
        await process.stdout.drain()


@contextlib.contextmanager
def tcp(greeting: bytes) -> Iterator[int]:
    """A server that accepts, says ``greeting`` and nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    kept.append(connection)
                    connection.sendall(greeting)

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for connection in kept:
            connection.close()


async def _serve(folder: Path) -> None:
    """Listen for each mode, print the ports, and stay until killed."""
    ports = {}
    for mode, (process, server) in {
        "shell": (shell, Server),
        "silent": (silent, Server),
        "endless": (endless, Server),
        "hangs at login": (shell, HangsAtLogin),
        "forwards": (shell, Forwards),
    }.items():
        listener = await asyncssh.create_server(
            server, "127.0.0.1", 0, server_host_keys=[folder / "host"], authorized_client_keys=str(folder / "id.pub"),
            process_factory=process, encoding=None,
        )  # fmt: skip
        ports[mode] = listener.get_port()
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
