"""amazon-efs-utils: the helper behind ``mount -t efs`` and ``mount -t s3files``, where it comes from, what it says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import pydantic

from mounttool.backends._fields import OneLine
from mounttool.node import Node
from mounttool.plan import Check, Ensure, KernelModule, Observed, Package, Step

FileSystemId = Annotated[str, pydantic.StringConstraints(pattern="^fs-[0-9a-f]{8,40}$")]
AccessPoint = Annotated[str, pydantic.StringConstraints(pattern="^fsap-[0-9a-f]{8,40}$")]
Region = Annotated[str, pydantic.StringConstraints(pattern="^[a-z]{2}(-[a-z]+)+-[0-9]$")]
Zone = Annotated[str, pydantic.StringConstraints(pattern="^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$")]
#: The export's path; mountinfo shows it as it is.
ExportPath = Annotated[str, pydantic.StringConstraints(pattern=r"^/[^\s\\\x00-\x1f\x7f]*$")]

#: AWS recommends 15 times rsize; kernels from 5.4 on read ahead 128 KiB otherwise.
READ_AHEAD_KIB = 15 * 1024

_FUNCTIONS = (Path(__file__).parents[1] / "shell" / "efs.sh").read_text(encoding="utf-8")

#: What a line in the log of a failed mount means, of the helper's and of the NFS client's.
HINTS = {
    r"certificate verify failed|CERT: |verify error|unable to get (local )?issuer": (
        "the server's certificate is not of the CA that was given, or of another name: check ca and certificate_name"
    ),
    r"Failed to resolve|cannot be resolved|Name or service not known|Temporary failure in name resolution": (
        "check the file system id, the region and the zone, and that DNS is enabled in the VPC; or give mount_target"
    ),
    r"access denied by server|mount.*access denied": (
        "the file system's policy, the access point or the export refuses this node: check iam and access_point"
    ),
    r"No such file or directory|mounting .* failed, reason given by server": (
        "the path is not on the file system: mount / first and make it"
    ),
    r"incorrect mount option|invalid option|Unknown mount option|mount option is not supported": (
        "a key of `options` is none that this client knows: see nfs(5)"
    ),
    r"Connection refused": "the server refuses: is this the mount target's address, and its port 2049?",
    r"Connection timed out|Mounting timed out|mount.nfs4?: timeout": (
        "no answer: does the mount target's security group let this node in on port 2049?"
    ),
    r"Unable to locate credentials|AWS Access Key ID and Secret Access Key are not found": (
        "iam needs credentials: give the instance a role with elasticfilesystem:ClientMount"
    ),
    r"only one usage of each|Address already in use": "another program has the tunnel's port: set tunnel_port",
}


class Installer(pydantic.BaseModel):
    """AWS' own installer, for distributions without a package. ``sha256`` pins it."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    url: Annotated[OneLine, pydantic.StringConstraints(pattern="^https?://")] = (
        "https://amazon-efs-utils.aws.com/efs-utils-installer.sh"
    )
    sha256: Annotated[str, pydantic.StringConstraints(pattern="^([0-9a-f]{64})?$")] = ""


def install(node: Node, program: str, installer: Installer) -> Iterator[Step]:
    """Yield what brings ``program`` (mount.efs or mount.s3files) onto the node."""
    if node.distribution == "amzn":
        yield Package(program, ("amazon-efs-utils",))
        return
    yield Package("curl", ("curl",))
    environment = {
        "PROGRAM": program,
        "URL": installer.url,
        "SHA256": installer.sha256,
        # AWS builds packages for RHEL, Rocky and Ubuntu only.
        "PACKAGED": "" if node.distribution == "debian" else "yes",
    }
    yield Ensure(
        f"program {program} (amazon-efs-utils)",
        "efs_utils_are_there",
        "efs_utils_install",
        environment,
        library=_FUNCTIONS,
    )


def nfs_client(node: Node) -> Iterator[Step]:
    """Yield the kernel's NFS client and its tools."""
    yield Package("mount.nfs4", ("nfs-common" if node.family == "debian" else "nfs-utils",))
    yield kernel_module()


def kernel_module() -> Step:
    """Return the state that the kernel can NFS 4."""
    return KernelModule("nfsv4", "nfs4", "boot a kernel with the NFS client; on some images it is a package of its own")


def read_ahead(mount_point: str) -> Check:
    """Return the check that the kernel reads ahead as far as it was told to."""
    command = f"cat /sys/class/bdi/$(mountpoint -d {shlex.quote(mount_point)})/read_ahead_kb"
    return Observed(f"read-ahead of {mount_point}", command, str(READ_AHEAD_KIB))


def tls_answers(host: str, port: int, name: str, authority: str) -> Step:
    """Return the state that the server shows a certificate for ``name`` that ``authority`` (a file) vouches for."""
    environment = {"HOST": host, "PORT": str(port), "NAME": name, "CA": authority}
    return Ensure(
        f"{host}:{port} proves to be {name}", "efs_tls_is", "efs_tls_explain", environment, library=_FUNCTIONS
    )


def dns_name(file_system: str, region: str, zone: str | None) -> str:
    """Return the mount targets' name; the suffix is the partition's."""
    suffix = "amazonaws.com.cn" if re.match("cn-", region) else "amazonaws.com"
    return f"{zone + '.' if zone else ''}{file_system}.efs.{region}.{suffix}"


def nfs_defaults(version: str) -> Mapping[str, str | bool]:
    """AWS' recommended options: https://docs.aws.amazon.com/efs/latest/ug/mounting-fs-nfs-mount-settings.html."""
    return {
        "nfsvers": version,
        "rsize": "1048576",
        "wsize": "1048576",
        "hard": True,
        "timeo": "600",
        "retrans": "2",
        "noresvport": True,
        "_netdev": True,
    }
