"""Delivery over SSH: one Fabric connection to a node, scripts on a shell's standard input.

Fabric finds the host in ssh_config, opens the jump host and logs in. The script then goes over a channel of its
transport: Fabric's own ``run`` mirrors standard input byte by byte with a pause after each.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabric
import paramiko

from mounttool.config import Fleet
from mounttool.errors import HostError, SecretError
from mounttool.session import Completed

# Its threads print tracebacks of what is reported here in one line.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_STARTED = "mounttool-shell-started"
_SHELL = f"sh -c 'echo {_STARTED}; exec sh -s'"
#: Takes the password's line off the input also where sudo does not ask, so that no shell ever runs it.
_SUDO_WITH_PASSWORD = (
    f"if sudo -n true 2>/dev/null; then IFS= read -r _; exec sudo -n {_SHELL}; else exec sudo -k -S -p '' {_SHELL}; fi"
)

_ANY = ""
#: What opening a connection can end with: exceptions, a word of theirs, the phase, the message, what to try.
_FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, str, str, str], ...] = (
    (
        paramiko.BadHostKeyException, _ANY, "login", "the host's key is not the one in known_hosts",
        "if the machine was replaced, remove its old key: ssh-keygen -R; if it was not, do not go on",
    ),
    (
        paramiko.AuthenticationException, _ANY, "login", "refused for user {user}",
        "check fleet.user and fleet.key, and that the key is authorised there",
    ),
    (
        paramiko.SSHException, "known_hosts", "login", "its key is not in known_hosts",
        'log in once with ssh and compare it, or set fleet.host_keys = "accept-new"',
    ),
    (paramiko.SSHException, "banner", "login", "{address} sends no SSH banner within the connect timeout", ""),
    # What is left of the same, when paramiko goes on to the login before it notices.
    (paramiko.SSHException, "No existing", "login", "{address} sends no SSH banner within the connect timeout", ""),
    (socket.gaierror, _ANY, "connect", "the name {host} cannot be resolved", ""),
    (TimeoutError, _ANY, "connect", "{address} does not answer within the connect timeout", ""),
    (
        (paramiko.ssh_exception.NoValidConnectionsError, ConnectionError), _ANY, "connect",
        "{address} refuses the connection",
        "is sshd running there, and does the firewall or security group let this machine in?",
    ),
)  # fmt: skip


class SshSession:
    """One node over SSH; the connection opens with the first script and stays.

    ``host`` may be ``USER@HOST:PORT``, or a name of ssh_config. The whole session has the fleet's deadline.
    """

    def __init__(self, host: str, fleet: Fleet) -> None:
        self.host = host
        self._fleet = fleet
        self._deadline = time.monotonic() + fleet.deadline_s
        self._connection: Any = None

    def run(
        self, script: str, *, timeout_s: float | None = None, on_line: Callable[[str], None] | None = None
    ) -> Completed:
        """Run ``script`` as root; see `mounttool.session.Session`."""
        if self._connection is None:
            self._connect()
        until = self._deadline if timeout_s is None else min(self._deadline, time.monotonic() + timeout_s)
        try:
            channel = self._connection.transport.open_session(timeout=max(0.1, until - time.monotonic()))
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise HostError(self.host, "run", f"the connection broke: {error}") from None
        try:
            return _Conversation(self.host, channel, until, on_line).hold(self._command(), self._preface() + script)
        finally:
            channel.close()

    def close(self) -> None:
        """Close the connection and that of its jump host."""
        if self._connection is not None:
            self._connection.close()
            if self._connection.gateway is not None:
                self._connection.gateway.close()
            self._connection = None

    def _command(self) -> str:
        if not self._fleet.sudo:
            return _SHELL
        return _SUDO_WITH_PASSWORD if self._fleet.sudo_password else f"exec sudo -n {_SHELL}"

    def _preface(self) -> str:
        if self._fleet.sudo and self._fleet.sudo_password:
            password = self._fleet.sudo_password.reveal()
            if "\n" in password:
                # sudo reads one line; a shell would run the next.
                raise SecretError(f"{self._fleet.sudo_password.reference}: expected a password of one line")
            return password + "\n"
        return ""

    def _connect(self) -> None:
        fleet = self._fleet
        limit = min(fleet.connect_timeout_s, max(0.1, self._deadline - time.monotonic()))
        config = fabric.Config(runtime_ssh_path=fleet.ssh_config)
        keywords: dict[str, Any] = {"banner_timeout": limit, "auth_timeout": limit}
        if fleet.key:
            keywords["key_filename"] = str(Path(fleet.key).expanduser())
        gateway = None
        if fleet.jump:
            gateway = fabric.Connection(fleet.jump, config=config, connect_timeout=limit, connect_kwargs=dict(keywords))
            self._trust(gateway)
        connection = fabric.Connection(
            self.host,
            user=None if "@" in self.host else fleet.user,
            port=None if self.host.rpartition(":")[2].isdigit() else fleet.port,
            config=config,
            gateway=gateway,
            connect_timeout=limit,
            connect_kwargs=keywords,
        )
        self._trust(connection)
        self._connection = connection
        try:
            connection.open()
        except Exception as error:  # noqa: BLE001 - paramiko, its parsers and the resolver raise what they like
            raise self._explain(error) from None

    def _trust(self, connection: Any) -> None:
        """Fabric would accept any key; only a known one proves that this is the host."""
        client = connection.client
        files = [self._fleet.known_hosts] if self._fleet.known_hosts else []
        if not files:
            files = connection.ssh_config.get("userknownhostsfile", "~/.ssh/known_hosts").split()
            files.append("/etc/ssh/ssh_known_hosts")
        for file in files:
            if Path(file).expanduser().is_file():
                client.load_system_host_keys(str(Path(file).expanduser()))
        strict = self._fleet.host_keys == "strict"
        client.set_missing_host_key_policy(paramiko.RejectPolicy() if strict else paramiko.AutoAddPolicy())

    def _explain(self, error: Exception) -> HostError:
        connection = self._connection
        words = {"address": f"{connection.host}:{connection.port}", "user": connection.user, "host": connection.host}
        for kinds, needle, phase, message, hint in _FAILURES:
            if isinstance(error, kinds) and needle in str(error):
                return HostError(self.host, phase, message.format(**words), hint=hint)
        said = " ".join(str(error).split()) or type(error).__name__
        return HostError(self.host, "connect", f"{words['address']}: {said}")


class _Conversation:
    """One script over one channel, until a moment of the monotonic clock."""

    def __init__(self, host: str, channel: Any, until: float, on_line: Callable[[str], None] | None) -> None:
        self._host = host
        self._channel = channel
        self._until = until
        self._on_line = on_line
        self._partial = b""
        self._stdout: list[str] = []
        self._stderr: list[bytes] = []
        self._started = False

    def hold(self, command: str, text: str) -> Completed:
        """Send the text, read to the end."""
        try:
            self._patience()
            self._channel.exec_command(command)
            self._send(text.encode())
            while data := self._receive():
                self._take(data)
            self._channel.status_event.wait(max(0.0, self._until - time.monotonic()))
        except TimeoutError:
            raise HostError(self._host, "run", "its deadline is over", hint="see fleet.deadline_s") from None
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise HostError(self._host, "run", f"the connection broke: {error or 'closed by the node'}") from None
        return self._finish()

    def _patience(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._channel.settimeout(left)

    def _send(self, data: bytes) -> None:
        try:
            self._channel.sendall(data)
            self._channel.shutdown_write()
        except TimeoutError:
            raise
        except OSError:
            pass  # the far shell ended early; what it said tells more than this

    def _receive(self) -> bytes:
        while True:
            while self._channel.recv_stderr_ready():
                self._stderr.append(self._channel.recv_stderr(65536))
            self._patience()
            # Half a second, so that a flood of errors cannot fill their window unread.
            self._channel.settimeout(min(0.5, self._until - time.monotonic()))
            try:
                return bytes(self._channel.recv(65536))
            except TimeoutError:
                continue

    def _take(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        for raw in lines:
            text = raw.decode(errors="replace")
            if not self._started and text.endswith(_STARTED):
                self._started = True
                continue
            self._stdout.append(text + "\n")
            if self._on_line:
                self._on_line(text)

    def _finish(self) -> Completed:
        while data := self._channel.recv_stderr(65536):
            self._stderr.append(data)
        stderr = b"".join(self._stderr).decode(errors="replace")
        if not self._started:
            said = " ".join(stderr.split()) or "no shell was started"
            raise HostError(
                self._host, "sudo" if "sudo" in said else "login", said,
                hint="check fleet.sudo, fleet.sudo_password and what the user may do there" if "sudo" in said else "",
            )  # fmt: skip
        if self._channel.exit_status < 0:
            raise HostError(
                self._host, "run", "the connection broke, or the shell there was killed", hint="run it again"
            )
        stdout = "".join(self._stdout) + self._partial.decode(errors="replace")
        return Completed(self._channel.exit_status, stdout, stderr)
