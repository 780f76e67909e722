"""Amazon EFS, by its own helper (TLS, IAM, access points) or by the plain NFS client, with a tunnel for TLS.

The helper's exit code is not trusted: it may be 0 with nothing mounted. What systemd and the mount table say counts.
Sources: amazon-efs-utils, nfs(5), https://docs.aws.amazon.com/efs/latest/ug/mounting-fs.html.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

import pydantic

from mounttool import systemd
from mounttool.backends import _efs_utils
from mounttool.backends._fields import Host, MountOptions, OneLine, certificate, mount_options, read
from mounttool.backends.base import CONFIG_DIRECTORY, HELPER_PATH, Backend
from mounttool.errors import UnsupportedError
from mounttool.node import Node
from mounttool.plan import Check, Directory, File, Package, Reachable, Running, Step, Unit
from mounttool.semantics import Feature

PORT = 2049


class Efs(Backend):
    """A file system of EFS, or any NFSv4.1 server that stands in for one."""

    kind: ClassVar[str] = "efs"
    fstype: ClassVar[str] = "nfs4"  # as the kernel reports it, whatever the helper is called
    unit_type: ClassVar[Literal["mount", "service"]] = "mount"

    file_system: _efs_utils.FileSystemId = pydantic.Field(
        description="the file system's id", examples=["fs-0123456789abcdef0"]
    )
    helper: Literal["efs-utils", "none"] = pydantic.Field(
        "efs-utils", description="efs-utils: amazon-efs-utils is installed and mounts; none: the kernel's client alone"
    )
    region: _efs_utils.Region | None = pydantic.Field(
        None, description="efs-utils asks the instance when it is left out; without it, this or mount_target is needed",
        examples=["us-east-1"],
    )  # fmt: skip
    availability_zone: _efs_utils.Zone | None = pydantic.Field(
        None, description="of a One Zone file system", examples=["us-east-1a"]
    )
    mount_target: Host | None = pydantic.Field(
        None, description="a mount target's address, instead of the file system's DNS name", examples=["10.0.1.20"]
    )
    path: _efs_utils.ExportPath = pydantic.Field("/", description="the directory of the file system that is mounted")
    tls: bool = pydantic.Field(True, description="encrypt on the way; without efs-utils through stunnel")  # noqa: FBT003 - a default value
    iam: bool = pydantic.Field(False, description="authorize by the instance's role; efs-utils only")  # noqa: FBT003 - a default value
    access_point: _efs_utils.AccessPoint | None = pydantic.Field(
        None, description="efs-utils only", examples=["fsap-0123456789abcdef0"]
    )
    ca: OneLine | None = pydantic.Field(
        None, description="a PEM file here with the own CA of a server that stands in for EFS; without efs-utils only"
    )
    certificate_name: Host | None = pydantic.Field(
        None, description="the name in the server's certificate, when it is not the address's; without efs-utils only"
    )
    tunnel_port: Annotated[int, pydantic.Field(ge=1024, le=65535)] | None = pydantic.Field(
        None, description="the tunnel's local port; by default one from 21050 on that the mount's name determines"
    )
    options: MountOptions = pydantic.Field(
        default_factory=dict, description="mount options beside AWS' recommended ones, see nfs(5)"
    )
    installer: _efs_utils.Installer = pydantic.Field(
        _efs_utils.Installer(), description="where efs-utils comes from on RHEL, Rocky and Ubuntu"
    )

    _certificate = pydantic.field_validator("ca")(certificate)

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> Efs:
        helper = self.helper == "efs-utils"
        for key in ("iam", "access_point"):
            if getattr(self, key) and not helper:
                raise ValueError(f'{key}: helper = "efs-utils", which alone can sign in for it')
            if getattr(self, key) and not self.tls:
                raise ValueError(f"{key}: tls = true, by which EFS learns of it")
        for key in ("ca", "certificate_name", "tunnel_port"):
            if getattr(self, key) and (helper or not self.tls):
                raise ValueError(f'{key}: only with helper = "none" and tls = true')
        if not helper and not (self.region or self.mount_target):
            raise ValueError(
                "region: a value, or mount_target: without efs-utils nobody can ask the instance where it is"
            )
        return self

    @property
    def server(self) -> str:
        """Where it is; empty when only the helper will know."""
        if self.mount_target:
            return self.mount_target
        return _efs_utils.dns_name(self.file_system, self.region, self.availability_zone) if self.region else ""

    @property
    def tunnel(self) -> str:
        """The unit of the tunnel; empty when there is none."""
        tunneled = self.helper == "none" and self.tls
        return f"efs-tunnel-{systemd.escape_path(self.mount_point)}.service" if tunneled else ""

    @property
    def local_port(self) -> int:
        """The tunnel's port on the node, beside those that efs-utils takes (20049 to 21049)."""
        return self.tunnel_port or 21050 + zlib.crc32(self.mount_point.encode()) % 1000

    @property
    def price_tier(self) -> str:
        """The dearest throughput mode, which is the default; an address may be that of any NFS server."""
        return "" if self.mount_target else "efs-elastic"

    def source(self) -> str:
        """The tunnel's near end, or the server."""
        if self.tunnel or (self.helper == "efs-utils" and (self.tls or not self.options.get("stunnel"))):
            return f"127.0.0.1:{self.path}"
        return f"{self.server}:{self.path}" if self.helper == "none" else f"*:{self.path}"

    def client_options(self) -> Mapping[str, str | bool | int | float]:
        """Every option that `mount` is given."""
        chosen: dict[str, str | bool | int | float] = dict(_efs_utils.nfs_defaults("4.1"))
        if self.helper == "efs-utils":
            named = {
                "tls": self.tls,
                "iam": self.iam,
                "accesspoint": self.access_point,
                "az": self.availability_zone,
                "region": self.region,
                "mounttargetip": self.mount_target,
            }
            chosen |= {key: value for key, value in named.items() if value}
        else:
            # mount.nfs would try for two minutes; the keeper does, and says why.
            chosen |= {"retry": 0} | ({"port": self.local_port} if self.tunnel else {})
        return {**chosen, **self.options}

    def client(self, node: Node) -> Iterator[Step]:
        """Yield what mounts it, and that the server answers where its address is known."""
        if self.helper == "efs-utils":
            yield from _efs_utils.install(node, "mount.efs", self.installer)
            yield _efs_utils.kernel_module()
        else:
            yield from _efs_utils.nfs_client(node)
        if self.server:
            yield Reachable("EFS", self.server, PORT)
        if self.tunnel:
            yield from self._tunnel(node)

    def _tunnel(self, node: Node) -> Iterator[Step]:
        if (node.distribution, node.version) == ("amzn", "2"):
            raise UnsupportedError(
                "Amazon Linux 2 has no stunnel that checks a certificate's name", hint='set helper = "efs-utils"'
            )
        debian = node.family == "debian"
        program = "stunnel4" if debian else "stunnel"
        yield Package(program, (program,))
        yield Package("openssl", ("openssl",))
        yield Directory(CONFIG_DIRECTORY)
        authority = "/etc/ssl/certs/ca-certificates.crt" if debian else "/etc/pki/tls/certs/ca-bundle.crt"
        if self.ca:
            authority = f"{CONFIG_DIRECTORY}/{self.name}-ca.pem"
            yield File(authority, read(self.ca), restarts=(self.tunnel,))
        name = self.certificate_name or (
            _efs_utils.dns_name(self.file_system, self.region, self.availability_zone) if self.region else self.server
        )
        yield _efs_utils.tls_answers(self.server, PORT, name, authority)
        configuration = f"{CONFIG_DIRECTORY}/{self.name}.stunnel"
        values = {"port": self.local_port, "server": f"{self.server}:{PORT}", "authority": authority, "checked": name}
        yield File(configuration, systemd.fill("efs-tunnel.conf", **values), restarts=(self.tunnel,))
        content = systemd.fill(
            "efs-tunnel.service",
            file_system=self.file_system,
            program=f"/usr/bin/{program}",
            configuration=configuration,
        )
        yield Unit(self.tunnel, content)

    def variables(self, node: Node) -> Mapping[str, object]:  # noqa: ARG002 - the contract
        """What is mounted, and how."""
        helped = self.helper == "efs-utils"
        return {
            "file_system": self.file_system,
            "what": f"{self.file_system}:{self.path}"
            if helped
            else self.source()
            if self.tunnel
            else f"{self.server}:{self.path}",
            "type": "efs" if helped else "nfs4",
            "options": mount_options(self.client_options()),
            "tunnel": self.tunnel,
        }

    def tuning(self, node: Node) -> tuple[tuple[str, ...], ...]:  # noqa: ARG002 - the contract
        """How far the kernel reads ahead: a mount begins with the kernel's 128 KiB, or with what udev sets."""
        return ((HELPER_PATH, "readahead", self.mount_point, str(_efs_utils.READ_AHEAD_KIB)),)

    def observed(self) -> Iterator[Check]:
        """The tunnel, and the read-ahead."""
        if self.tunnel:
            yield Running(self.tunnel)
        yield _efs_utils.read_ahead(self.mount_point)

    def settings(self) -> Mapping[str, str]:
        """The mount's options."""
        return {"options": mount_options(self.client_options()), "tls": str(self.tls).lower()}

    def lacks(self) -> frozenset[Feature]:
        """NFS 4.1 has no way to free a part of a file."""
        return frozenset(("punch-hole",))

    def hints(self) -> Mapping[str, str]:
        """What a line in the log of a failed mount means."""
        return _efs_utils.HINTS

    def conflict(self, other: Backend) -> str:
        """The NFS client shares one session between mounts of one server: the second would silently have no TLS."""
        if not isinstance(other, Efs):
            return ""
        if (self.file_system, self.server) == (other.file_system, other.server) and self.tls and not other.tls:
            return f"it mounts {self.file_system} without TLS, and both would share that connection"
        if self.tunnel and other.tunnel and self.local_port == other.local_port:
            return f"both have the tunnel port {self.local_port}: set tunnel_port"
        return ""
