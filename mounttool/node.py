"""Facts of a node: what a plan needs to know about the machine it is for.

They are probed in one round trip, or declared where nobody can ask (user-data).
"""

from __future__ import annotations

from dataclasses import dataclass

from mounttool.errors import UnsupportedError

#: POSIX sh that prints one ``key=value`` per fact. /etc/os-release is read in a subshell of its own.
PROBE = r"""
(
    . /etc/os-release 2>/dev/null || :
    printf 'distribution=%s\nversion=%s\nlike=%s\n' "${ID-}" "${VERSION_ID-}" "${ID_LIKE-}"
)
printf 'machine=%s\nkernel=%s\nhostname=%s\n' "$(uname -m)" "$(uname -r)" "$(uname -n)"
printf 'cpus=%s\n' "$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc)"
awk '/^MemTotal:/ {print "memory_kib=" $2}' /proc/meminfo
printf 'fuse=%s\n' "$([ -c /dev/fuse ] && echo 1 || echo 0)"
printf 'systemd=%s\n' "$([ -d /run/systemd/system ] && echo 1 || echo 0)"
printf 'user=%s\n' "$(id -u)"
"""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Node:
    """One machine. ``distribution`` and ``version`` are ID and VERSION_ID of os-release(5).

    ``family`` is ``debian`` or ``rhel`` (with Amazon Linux and Rocky); ``architecture`` is ``amd64`` or ``arm64``.
    """

    distribution: str = "debian"
    version: str = ""
    family: str = "debian"
    architecture: str = "amd64"
    kernel: str = ""
    hostname: str = ""
    cpus: int = 1
    memory_bytes: int = 0
    has_fuse: bool = True
    has_systemd: bool = True
    is_root: bool = True


#: Who logs in to an image of a distribution, where it is not ec2-user.
_USERS = {"ubuntu": "ubuntu", "rocky": "rocky", "debian": "admin"}


def default_user(node: Node) -> str:
    """Return the user that a cloud image of the node's distribution is made for."""
    return _USERS.get(node.distribution, "ec2-user")


def parse(text: str) -> Node:
    """Return the facts in the output of `PROBE`.

    Raises:
        UnsupportedError: the machine's architecture or distribution is not one that mounttool knows.

    """
    facts = dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)
    machine = facts.get("machine", "")
    if machine not in _ARCHITECTURES:
        raise UnsupportedError(f"machine type {machine!r} is not supported: expected x86_64 or aarch64")
    return Node(
        distribution=facts["distribution"],
        version=facts["version"],
        family=_family(facts["distribution"], facts["like"]),
        architecture=_ARCHITECTURES[machine],
        kernel=facts["kernel"],
        hostname=facts["hostname"],
        cpus=int(facts["cpus"]),
        memory_bytes=int(facts["memory_kib"]) * 1024,
        has_fuse=facts["fuse"] == "1",
        has_systemd=facts["systemd"] == "1",
        is_root=facts["user"] == "0",
    )


def _family(distribution: str, like: str) -> str:
    names = {distribution, *like.split()}
    if names & {"debian", "ubuntu"}:
        return "debian"
    if names & {"rhel", "fedora", "centos", "amzn", "rocky"}:
        return "rhel"
    raise UnsupportedError(
        f"distribution {distribution!r} is not supported",
        hint="expected Debian, Ubuntu, Amazon Linux, RHEL or Rocky",
    )
