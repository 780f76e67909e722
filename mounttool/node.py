"""Facts of a node: what a plan needs to know about the machine it is for.

They are probed in one round trip, or declared where nobody can ask (user-data).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from mounttool.errors import InputError, QuantityError, UnsupportedError
from mounttool.quantities import parse_bytes

#: POSIX sh that prints one ``key=value`` per fact. /etc/os-release is read in a subshell of its own.
PROBE = r"""
(
    . /etc/os-release 2>/dev/null || :
    printf 'distribution=%s\nversion=%s\nlike=%s\n' "${ID-}" "${VERSION_ID-}" "${ID_LIKE-}"
)
set -- $(uname -nrm) # always in this order
printf 'machine=%s\nkernel=%s\nhostname=%s\n' "$3" "$2" "$1"
read -r _ memory _ </proc/meminfo # its first line is MemTotal
fuse=0 systemd=0
[ ! -c /dev/fuse ] || fuse=1
[ ! -d /run/systemd/system ] || systemd=1
printf 'cpus=%s\n' "$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc)"
printf 'memory_kib=%s\nfuse=%s\nsystemd=%s\nuser=%s\n' "$memory" "$fuse" "$systemd" "$(id -u)"
"""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Node:
    """One machine. ``distribution`` and ``version`` are ID and VERSION_ID of os-release(5).

    ``family`` is ``debian`` or ``rhel`` (with Amazon Linux and Rocky); ``architecture`` is ``amd64`` or ``arm64``.
    Where a node was declared, an empty ``kernel`` and 0 ``cpus`` and ``memory_bytes`` mean that nobody said.
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


#: What a node may be declared to be: ID and VERSION_ID (of RHEL and Rocky its major part), and the family.
DISTRIBUTIONS = {
    "al2": ("amzn", "2", "rhel"),
    "al2023": ("amzn", "2023", "rhel"),
    "rhel8": ("rhel", "8", "rhel"),
    "rhel9": ("rhel", "9", "rhel"),
    "rocky8": ("rocky", "8", "rhel"),
    "rocky9": ("rocky", "9", "rhel"),
    "ubuntu2004": ("ubuntu", "20.04", "debian"),
    "ubuntu2204": ("ubuntu", "22.04", "debian"),
    "ubuntu2404": ("ubuntu", "24.04", "debian"),
    "debian12": ("debian", "12", "debian"),
    "debian13": ("debian", "13", "debian"),
}

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


def declare(text: str) -> Node:
    """Return the node that ``text`` declares: ``al2023-arm64``, and what else a mount must know of it.

    ``rhel9-amd64,kernel=5.14.0-570.12.1.el9_6.x86_64,cpus=96,memory=768GiB``

    Raises:
        InputError: it is not of this form, or of no distribution that can be declared.

    """
    first, *more = text.split(",")
    name, _, architecture = first.rpartition("-")
    if name not in DISTRIBUTIONS or architecture not in _ARCHITECTURES.values():
        raise InputError(
            f"--node {text}: expected DISTRIBUTION-ARCHITECTURE, such as al2023-arm64",
            hint=f"distributions: {', '.join(DISTRIBUTIONS)}; architectures: amd64, arm64",
        )
    distribution, version, family = DISTRIBUTIONS[name]
    node = Node(distribution, version, family, architecture, cpus=0)
    for part in more:
        key, _, value = part.partition("=")
        if key == "kernel" and value:
            node = dataclasses.replace(node, kernel=value)
        elif key == "cpus" and value.isascii() and value.isdigit() and int(value) > 0:
            node = dataclasses.replace(node, cpus=int(value))
        elif key == "memory":
            node = dataclasses.replace(node, memory_bytes=_memory(text, value))
        else:
            raise InputError(f"--node {text}: {part}: expected kernel=RELEASE (uname -r), cpus=NUMBER or memory=SIZE")
    if bool(node.cpus) != bool(node.memory_bytes):
        raise InputError(f"--node {text}: expected cpus and memory together, as the instance type has them")
    return node


def _memory(text: str, value: str) -> int:
    try:
        return parse_bytes(value)
    except QuantityError:
        raise InputError(f"--node {text}: memory={value}: expected a size such as 64GiB") from None


def declared_facts(node: Node) -> Mapping[str, str]:
    """Return what was declared, as `PROBE` prints it: what a script must find true before it does anything."""
    machine = next(key for key, value in _ARCHITECTURES.items() if value == node.architecture)
    facts = {"distribution": node.distribution, "version": node.version, "machine": machine, "kernel": node.kernel}
    numbers = {"cpus": node.cpus, "memory_kib": node.memory_bytes // 1024}
    facts.update((key, str(number)) for key, number in numbers.items() if number)
    switches = {"fuse": node.has_fuse, "systemd": node.has_systemd}
    facts.update((key, str(int(value))) for key, value in switches.items())
    return {**{key: value for key, value in facts.items() if value}, "user": "0"}


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
