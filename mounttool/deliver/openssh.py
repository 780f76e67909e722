"""OpenSSH's client as the carrier: the words of its command line, and the meaning of what it says when it fails.

A process of its own for each node does the handshake outside of Python, on every core, in one known way: ssh_config,
agents, hardware keys, jump hosts and known_hosts are OpenSSH's. benchmarks/fleet/README.md has the measurements that
this was chosen by.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from mounttool.config import Fleet
from mounttool.errors import HostError

_HOST = re.compile(r"(?:(?P<user>.+)@)?(?:\[(?P<literal>[^]]+)\]|(?P<name>[^:]+|.*:.*:.*))(?::(?P<port>\d+))?")

#: What ssh says, the phase, the message, what to try; the first that fits. ``{0}`` and on are the pattern's groups.
_FAILURES: tuple[tuple[str, str, str, str], ...] = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED", "login", "the host's key is not the one in known_hosts",
        "if the machine was replaced, remove its old key: ssh-keygen -R; if it was not, do not go on",
    ),
    (
        "Host key verification failed", "login", "its key is not in known_hosts",
        'log in once with ssh and compare it, or set fleet.host_keys = "accept-new"',
    ),
    (
        r"(\S+)@\S+: Permission denied", "login", "refused for user {0}",
        "check fleet.user and fleet.key, and that the key is authorised there",
    ),
    (
        "Too many authentication failures", "login", "it refused before the right key was offered",
        "set fleet.key, with IdentitiesOnly yes in ssh_config",
    ),
    (r"Could not resolve hostname ([^\s:]+)", "connect", "the name {0} cannot be resolved", ""),
    ("timed out during banner exchange", "login", "it sends no SSH banner within the connect timeout", ""),
    (
        r"connect to host \S+ port (\d+): .*timed out", "connect",
        "port {0} does not answer within the connect timeout", "",
    ),
    (
        r"connect to host \S+ port (\d+): Connection refused", "connect", "port {0} refuses the connection",
        "is sshd running there, and does the firewall or security group let this machine in?",
    ),
    (r"connect to host \S+ port (\d+): (.+)", "connect", "port {0}: {1}", ""),
    (
        "(?i)Connection (?:reset|closed) by|Connection (?:reset|closed)", "login",
        "it closes the connection before the login", "its sshd may be starting or full (MaxStartups): run it again",
    ),
)  # fmt: skip
#: A node that reboots, or whose sshd is full, says one of these: trying again helps.
_PASSING = re.compile(
    r"Connection refused|Connection reset|Connection closed by|No route to host|Network is unreachable"
    r"|System is booting up|not permitted to log in yet"
)
_CHATTER = re.compile(
    r"^(?:Authenticated to |Transferred: sent |Bytes per second: |Warning: Permanently added ).*\n?", re.MULTILINE
)


def argv(
    host: str, fleet: Fleet, limit_s: float, command: str, socket: Path | None = None, *, own: bool = False
) -> list[str]:
    """Return the command that runs ``command`` on ``host``; each of its phases that ssh bounds takes ``limit_s``.

    ``host`` is an address or a name of ssh_config, and may be ``USER@HOST:PORT``. With ``socket``, a connection that is
    kept there is used, or this one is kept; with ``own``, this one listens there for `forwarding` until it ends.
    """
    words = ["ssh", *_options(fleet, limit_s), *_sharing(socket, None if own else fleet.keep_connections_s)]
    if fleet.jump:
        # Not ProxyJump, which would go by the configuration of the user alone: known_hosts, the key, the checks.
        way = [
            "ssh",
            *_options(fleet, limit_s),
            *_sharing(None, None),
            "-W",
            "[%h]:%p",
            *_destination(fleet.jump, None, None),
        ]
        proxy = " ".join(word if word == "[%h]:%p" else shlex.quote(word.replace("%", "%%")) for word in way)
        words += ["-o", f"ProxyCommand={proxy}"]
    return [*words, *_destination(host, fleet.user, fleet.port), command]


def forwarding(socket: Path, local: Mapping[str, str], remote: Mapping[str, str]) -> list[str]:
    """Return the command that adds forwarded Unix sockets to the connection at ``socket``, then ends.

    See `mounttool.session.Session`. They are no options of the connection itself: so each can fail with a status, and
    the connection keeps clear of those in the user's configuration.
    """
    listens = [word for here, there in local.items() for word in ("-L", f"{here}:{there}")]
    listens += [word for there, here in remote.items() for word in ("-R", f"{there}:{here}")]
    return order(socket, "forward", *listens)


def order(socket: Path, *words: str) -> list[str]:
    """Return the command that gives an order (``ssh -O``) to the connection at ``socket``; it needs no host."""
    return ["ssh", "-F", "/dev/null", "-o", _control_path(socket), "-O", *words, "--", "node"]


def _control_path(socket: Path) -> str:
    path = str(socket).replace("%", "%%")
    return f'ControlPath="{path}"'


def _options(fleet: Fleet, limit_s: float) -> Iterator[str]:
    if fleet.ssh_config:
        yield from ("-F", fleet.ssh_config)
    if fleet.key:
        yield from ("-i", fleet.key)
    for option in (
        "BatchMode=yes",
        f"ConnectTimeout={max(1, int(limit_s))}",
        f"StrictHostKeyChecking={'yes' if fleet.host_keys == 'strict' else 'accept-new'}",
        # So much that it says who is logged in: after that, silence is the far shell's or sudo's.
        "LogLevel=VERBOSE",
        # Nothing else of the user's configuration shall happen once for each node.
        "ClearAllForwardings=yes",
        "ForwardAgent=no",
        "ForwardX11=no",
        "PermitLocalCommand=no",
        "RemoteCommand=none",
        "RequestTTY=no",
        # A node that vanishes in the middle of a step is noticed before its deadline.
        "ServerAliveInterval=15",
        "ServerAliveCountMax=4",
    ):
        yield from ("-o", option)
    if fleet.known_hosts:
        file = fleet.known_hosts.replace("%", "%%")
        yield from ("-o", f'UserKnownHostsFile="{file}"', "-o", "GlobalKnownHostsFile=/dev/null")


def _sharing(socket: Path | None, keep_s: int | None) -> Iterator[str]:
    if socket:
        master, persist = ("yes", "no") if keep_s is None else ("auto", keep_s)
        for option in (f"ControlMaster={master}", _control_path(socket), f"ControlPersist={persist}"):
            yield from ("-o", option)
    else:
        # A connection that the user shares is used; none is opened that would outlive this one.
        yield from ("-o", "ControlMaster=no")


def _destination(host: str, user: str | None, port: int | None) -> Iterator[str]:
    parts = _HOST.fullmatch(host)
    name = (parts["literal"] or parts["name"]) if parts else host
    user = (parts and parts["user"]) or user
    given = (parts and parts["port"]) or port
    if user:
        yield from ("-l", user)
    if given:
        yield from ("-p", str(given))
    yield from ("--", name)


def is_logged_in(said: str, *, jump: bool) -> bool:
    """Whether ssh got as far as the user's shell on the node itself, not only on the jump host before it."""
    return bool(re.search(r"^Authenticated to .*via proxy" if jump else "^Authenticated to ", said, re.MULTILINE))


def without_chatter(said: str) -> str:
    """Return the words without those that ssh says when all goes well, in one line for each of theirs."""
    return "\n".join(" ".join(line.split()) for line in _CHATTER.sub("", said).splitlines() if line.strip())


def is_passing(said: str) -> bool:
    """Whether what ssh said before it ended is what a node says that is starting."""
    return bool(_PASSING.search(said))


def explain(host: str, said: str, jump: str | None) -> HostError:
    """Return what it means that ssh ended before there was a shell, and had said this."""
    name = list(_destination(jump, None, None))[-1] if jump else ""
    if name and re.search(rf"(?:connect to host |hostname |@){re.escape(name)}\b", said):
        reason = explain(host, said, None)
        return HostError(host, reason.phase, f"its jump host {name}: {reason.reason}", hint=reason.hint)
    for pattern, phase, message, hint in _FAILURES:
        if found := re.search(pattern, said):
            return HostError(host, phase, message.format(*found.groups()), hint=hint)
    return HostError(host, "login", " ".join(said.split()) or "ssh ended without a word")
