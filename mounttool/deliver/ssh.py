"""Delivery over SSH: one connection to a node, and behind it one shell that takes scripts on its standard input."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mounttool.config import Fleet
from mounttool.deliver import forwarding, kept, openssh
from mounttool.deliver.shell import EndedError, OverlongError, Prompted, Shell, Stream
from mounttool.deliver.talk import Talk
from mounttool.errors import HostError, InputError, SecretError
from mounttool.session import Completed

_STARTED = "mounttool-shell-started"
_PROMPT = "mounttool-sudo-password:"
_SHELL = f"sh -c 'echo {_STARTED}; exec sh -s'"
_LONGEST_PAUSE_S = 15.0
#: What a kept connection may take until there is a shell.
_KEPT_S = 5.0


class _SilentError(Exception):
    """There is no shell within the limit; carries what was said until then."""


class SshSession:
    """One node over SSH; the connection opens with the first script and stays.

    ``host`` may be ``USER@HOST:PORT``, or a name of ssh_config. The whole session has the fleet's deadline.
    """

    def __init__(self, host: str, fleet: Fleet) -> None:
        self.host = host
        self._fleet = fleet
        self._deadline = time.monotonic() + fleet.deadline_s
        self._shell: Shell | None = None
        self._open: list[Shell] = []
        self._closed = threading.Event()

    def run(
        self, script: str, *, timeout_s: float | None = None, on_line: Callable[[str], None] | None = None
    ) -> Completed:
        """Run ``script`` as root; see `mounttool.session.Session`."""
        shell = self._shell = self._shell or self._connect()
        until = self._deadline if timeout_s is None else min(self._deadline, time.monotonic() + timeout_s)
        try:
            return shell.run(script, until, on_line)
        except TimeoutError:
            raise self._dropped("its deadline is over", "see fleet.deadline_s") from None
        except OverlongError:
            raise self._dropped("its output has no end", "") from None
        except EndedError as error:
            why = openssh.without_chatter(error.stderr).splitlines()
            raise self._dropped(f"the connection broke: {why[-1] if why else 'closed by the node'}", "") from None
        except BaseException:
            # Ctrl-C: whoever has to clean up on the node does so over a new connection.
            self._drop()
            raise

    def close(self) -> None:
        """Close the connection for good, also while a script runs in another thread."""
        self._closed.set()
        for shell in list(self._open):
            shell.close()

    def converse(self, program: str) -> Talk:
        """Start a Python program over a connection of its own; see `mounttool.session.Session`."""
        return Talk(self.host, self._connect(), program, self._deadline)

    @contextlib.contextmanager
    def forward(self, *, local: Mapping[str, str], remote: Mapping[str, str]) -> Iterator[None]:
        """Carry Unix sockets over a connection of its own; see `mounttool.session.Session`."""
        with tempfile.TemporaryDirectory(prefix="mounttool-") as folder:
            shell = self._connect(socket := Path(folder, "ssh"))
            try:
                limit_s = self._fleet.connect_timeout_s
                forwarding.join(self.host, shell, socket, local=local, remote=remote, limit_s=limit_s)
                yield
            finally:
                shell.close()

    def _dropped(self, why: str, hint: str) -> HostError:
        self._drop()
        return HostError(self.host, "run", why, hint=hint)

    def _drop(self) -> None:
        """The next script opens another connection: on this one the answer to the last could still come."""
        if self._shell:
            self._shell.close()
            self._shell = None

    def _connect(self, for_forwards: Path | None = None) -> Shell:
        """Open a connection; again after a pause when the node says that it is only starting.

        ``for_forwards`` is the socket of one that is to forward others.
        """
        pause_s = 1.0
        for left in reversed(range(self._fleet.connect_attempts)):
            try:
                return self._attempt(for_forwards)
            except EndedError as error:
                too_late = time.monotonic() + pause_s >= self._deadline
                if not left or too_late or not openssh.is_passing(error.stderr) or self._closed.wait(pause_s):
                    raise self._explain(error.stderr) from None
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        raise AssertionError  # connect_attempts is at least 1

    def _attempt(self, for_forwards: Path | None) -> Shell:
        """Return a shell over the connection that an earlier command has kept, or over a new one."""
        limit_s = min(self._fleet.connect_timeout_s, self._deadline - time.monotonic())
        socket = for_forwards or kept.socket(self.host, self._fleet)
        if socket and socket.exists():
            began = time.monotonic()
            with contextlib.suppress(_SilentError, EndedError):
                return self._login(min(limit_s / 2, _KEPT_S), socket)
            # Its node may have lost power; or sudo refuses us. What is wrong shows on a new connection.
            kept.forget(socket)
            limit_s -= time.monotonic() - began
        try:
            return self._login(limit_s, socket, forwards=bool(for_forwards))
        except _SilentError as error:
            raise self._silent(str(error)) from None

    def _login(self, limit_s: float, socket: Path | None, *, forwards: bool = False) -> Shell:
        """Return a shell of root's; of the user's, over a connection that is its own, when that is for `forward`.

        Raises:
            EndedError: ssh, or what it started there, ended first.
            _SilentError: there is none after ``limit_s``; carries what was said.

        """
        fleet = self._fleet
        command = _SHELL
        if fleet.sudo and not forwards:
            # The password goes to sudo's prompt and nowhere else: without a prompt it is not sent.
            how = f"-S -p {_PROMPT}" if fleet.sudo_password else "-n"
            command = f"exec sudo {how} {_SHELL}"
        try:
            shell = Shell(openssh.argv(self.host, fleet, limit_s, command, socket, own=forwards))
        except OSError as error:
            raise InputError(f"ssh: {error.strerror}", hint="install OpenSSH's client") from None
        started = Stream(_STARTED.encode())
        said = Prompted(_PROMPT, self._password_of(shell))
        self._open.append(shell)
        if self._closed.is_set():
            shell.close()
        try:
            # What ssh itself bounds shall end in its own words.
            until = time.monotonic() + max(1.0, limit_s) + 0.5
            shell.read(started, said, until, lambda: started.end is not None)
        except BaseException as error:
            shell.close()
            if isinstance(error, TimeoutError):
                raise _SilentError(str(said)) from None
            raise
        return shell

    def _password_of(self, shell: Shell) -> Callable[[], None]:
        """Return what answers sudo's prompt once; asking again means that the answer was wrong."""
        answers = []
        if secret := self._fleet.sudo_password:
            answers = [secret.reveal()]
            if "\n" in answers[0]:
                raise SecretError(f"{secret.reference}: expected a password of one line")

        def answer() -> None:
            if not answers:
                raise HostError(self.host, "sudo", "the password was refused", hint="check fleet.sudo_password")
            shell.send(answers.pop() + "\n")

        return answer

    def _silent(self, said: str) -> HostError:
        limit = f"within the connect timeout of {self._fleet.connect_timeout_s:g} s"
        if not openssh.is_logged_in(said, jump=bool(self._fleet.jump)):
            return HostError(self.host, "login", f"the key exchange and login do not come to an end {limit}")
        words = openssh.without_chatter(said)
        told = f": {words}" if words else ""
        if self._fleet.sudo:
            return HostError(self.host, "sudo", f"no shell {limit}; sudo may wait for an answer{told}")
        return HostError(self.host, "login", f"the user's login shell starts nothing {limit}{told}")

    def _explain(self, said: str) -> HostError:
        if not openssh.is_logged_in(said, jump=bool(self._fleet.jump)):
            return openssh.explain(self.host, openssh.without_chatter(said), self._fleet.jump)
        words = openssh.without_chatter(said) or "no shell was started"
        if "sudo" in words:
            hint = "check fleet.sudo, fleet.sudo_password and what the user may do there"
            return HostError(self.host, "sudo", words, hint=hint)
        return HostError(self.host, "login", words)
