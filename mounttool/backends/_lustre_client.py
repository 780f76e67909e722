"""Which package of the Lustre client fits which distribution and kernel, as AWS publishes them.

Source: https://docs.aws.amazon.com/fsx/latest/LustreGuide/install-lustre-client.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mounttool.errors import UnsupportedError
from mounttool.node import Node
from mounttool.plan import Ensure, File, KernelModule, Package, Step

_FUNCTIONS = (Path(__file__).parents[1] / "shell" / "lustre.sh").read_text(encoding="utf-8")
_REPOSITORY = "https://fsx-lustre-client-repo.s3.amazonaws.com"
_KEYS = "https://fsx-lustre-client-repo-public-keys.s3.amazonaws.com"

#: The oldest kernels that AWS builds the client for, one of each series.
_AMAZON_KERNELS = {"2": ("4.14.294-220.533", "5.4.214-120.368", "5.10.144-127.601"), "2023": ("6.1.79-99.167",)}

#: RHEL's kernels by the first number of their release, and the minor version whose repository is for it; the one
#: without a minor version is for the newest.
_RHEL_MINORS = {
    "5.14.0": {"70": "9.0", "362": "9.3", "427": "9.4", "503": "9.5", "570": "9.6", "611": "9.7", "687": "9"},
    "4.18.0": {"477": "8.8", "513": "8.9", "553": "8"},
}
_UBUNTU_NAMES = {"20.04": "focal", "22.04": "jammy", "24.04": "noble"}


def install(node: Node) -> Iterator[Step]:
    """Yield what brings the client, and that the running kernel has its module.

    Raises:
        UnsupportedError: AWS has no client for this distribution or kernel; the message names both.

    """
    if not node.kernel and node.distribution != "amzn":
        raise _none_for(node, "its package depends on the kernel", "add ,kernel=RELEASE (uname -r there) to --node")
    if node.distribution == "amzn":
        yield from _amazon(node)
    elif node.distribution == "ubuntu":
        yield from _ubuntu(node)
    elif node.family == "rhel":
        yield from _rhel(node)
    else:
        raise _none_for(node, "AWS builds none for Debian", "use Ubuntu, Amazon Linux, RHEL or Rocky")
    yield KernelModule(
        "lustre",
        "lustre",
        f"the client's package must be for the kernel {node.kernel}: reboot if a newer kernel was installed with it",
    )


def _none_for(node: Node, reason: str, hint: str) -> UnsupportedError:
    where = f"{node.distribution} {node.version} with kernel {node.kernel or '(unknown)'}"
    return UnsupportedError(f"no Lustre client for {where}: {reason}", hint=hint)


def _amazon(node: Node) -> Iterator[Step]:
    known = _AMAZON_KERNELS.get(node.version)
    if known is None:
        raise _none_for(node, "AWS builds it for Amazon Linux 2 and 2023", "use one of these")
    running = _numbers(node.kernel)
    oldest = next((kernel for kernel in known if _numbers(kernel)[:2] == running[:2]), known[-1])
    if node.kernel and running < _numbers(oldest):
        raise _none_for(node, f"lustre-client needs {oldest} or newer", "update the kernel and reboot")
    if node.version == "2":
        yield Ensure("package lustre (extras)", "lustre_is_installed", "lustre_from_extras", library=_FUNCTIONS)
    else:
        yield Package("lfs", ("lustre-client",))


def _rhel(node: Node) -> Iterator[Step]:
    major = node.version.partition(".")[0]
    base, _, release = node.kernel.partition("-")
    minors = _RHEL_MINORS.get(base, {})
    minor = minors.get(release.partition(".")[0])
    if minor is None or minor.partition(".")[0] != major:
        known = ", ".join(f"{base}-{number}" for base, numbers in _RHEL_MINORS.items() for number in numbers)
        raise _none_for(node, "kmod-lustre-client is built for other kernels", f"boot one of {known}")
    if node.architecture == "arm64" and major == "8":
        raise _none_for(node, "kmod-lustre-client is built for x86_64 there", "use RHEL or Rocky 9")
    yield File("/etc/yum.repos.d/aws-fsx.repo", _repository(minor))
    yield Package("lfs", ("kmod-lustre-client", "lustre-client"))


def _repository(minor: str) -> str:
    """Return the repository's file, whole: AWS' own, edited by its documented `sed`, breaks when that runs twice."""
    return (
        "[aws-fsx]\n"
        f"name=AWS FSx Packages - EL {minor}\n"
        f"baseurl={_REPOSITORY}/el/{minor}/$basearch\n"
        "enabled=1\n"
        f"gpgkey={_KEYS}/fsx-rpm-public-key.asc\n"
        "gpgcheck=1\n"
    )


def _ubuntu(node: Node) -> Iterator[Step]:
    name = _UBUNTU_NAMES.get(node.version)
    if name is None:
        raise _none_for(node, "AWS builds it for 20.04, 22.04 and 24.04", "use one of these")
    keyring = "/usr/share/keyrings/fsx-ubuntu-public-key.asc"
    yield Package("curl", ("curl",))
    yield Ensure(
        "key of the FSx repository",
        "lustre_key_is_there",
        "lustre_fetch_key",
        {"KEY": keyring, "URL": f"{_KEYS}/fsx-ubuntu-public-key.asc"},
        library=_FUNCTIONS,
    )
    source = f"deb [signed-by={keyring}] {_REPOSITORY}/ubuntu {name} main\n"
    yield File("/etc/apt/sources.list.d/fsxlustreclientrepo.list", source)
    yield Ensure(
        f"package lustre-client-modules-{node.kernel}",
        "lustre_modules_are_there",
        "lustre_install_modules",
        {"KERNEL": node.kernel},
        library=_FUNCTIONS,
    )


def _numbers(kernel: str) -> tuple[int, ...]:
    """``5.10.144-127.601.amzn2`` as (5, 10, 144, 127, 601): what it is compared by."""
    return tuple(int(number) for number in re.findall(r"(?<![a-z])\d+(?![a-z])", kernel))
