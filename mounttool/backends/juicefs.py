"""JuiceFS: a POSIX file system whose data lies in S3 and whose metadata in Redis or SQL.

Options: ``juicefs mount --help``. The volume is formatted once for the fleet (`provision`); a node only mounts it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

import pydantic

from mounttool.backends import _metadata, _volume
from mounttool.backends._fields import OneLine, SecretReference, certificate, read
from mounttool.backends.base import CONFIG_DIRECTORY, Backend
from mounttool.errors import UnsupportedError
from mounttool.node import Node
from mounttool.plan import Cache, Directory, Environment, File, Package, Plan, Reachable, Release, Step

PROGRAM = "/usr/local/bin/juicefs"

#: SHA-256 of upstream's archives, by version and architecture.
KNOWN_SUMS = {
    "1.3.1": {
        "amd64": "eb67a7be5d174b420cb3734d441971b3a462ab522b78ad2a6ed993e7deddcd44",
        "arm64": "c29bff8f609366011cee03b9abcc76c11a06308b2c314364b8c340a2bfbc6c48",
    },
}

#: Options that suit images of many MB, written once in order and read once on another node. Measured together against
#: JuiceFS' defaults: benchmarks/README.md has the numbers, and says what they do not show.
CHECKPOINT_PROFILE: Mapping[str, str | int] = {
    # One FUSE request carries 1 MiB instead of 128 KiB: fewer switches into the daemon for the same bytes.
    "max-fuse-io": "1M",
    # Room for read-ahead and uploads where S3 is far away; on one machine it made no difference that was measured.
    "buffer-size": 1024,
    # An image is read once, on another node: a disk cache would only be written.
    "cache-size": 0,
}

#: Flags that the unit's way of running depends on.
_OWN_FLAGS = {"d", "background", "update-fstab", "foreground", "f", "log", "o"}

#: What a line of JuiceFS' log means to the user.
HINTS = {
    r"WRONGPASS|NOAUTH|invalid password|Access denied for user|password authentication failed": (
        "the metadata engine refused the login: check metadata_password and the user in metadata"
    ),
    r"database is not formatted": "the volume is not there yet: run `fab provision`",
    r"NoSuchBucket|bucket .* does not exist": "the bucket is not there: create it, or correct `bucket`",
    r"InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied": (
        "S3 refused the credentials: check access_key and secret_key, or the instance's role"
    ),
    r"certificate signed by unknown authority": "the metadata engine's certificate is of an own CA: set metadata_ca",
    r"connection refused|no route to host|i/o timeout|no such host": (
        "an endpoint does not answer: check its address and its firewall or security group"
    ),
    r"No space left on device": "the node's disk is full: free some space, then run this again",
}


class Download(pydantic.BaseModel):
    """Which JuiceFS, from where. ``{version}`` and ``{arch}`` in ``url`` are replaced; ``file://`` is on the node."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    version: Annotated[str, pydantic.StringConstraints(pattern=r"^\d+\.\d+\.\d+[-a-z0-9.]*$")] = "1.3.1"
    url: Annotated[OneLine, pydantic.StringConstraints(pattern="^(https?|file)://")] = (
        "https://github.com/juicedata/juicefs/releases/download/v{version}/juicefs-{version}-linux-{arch}.tar.gz"
    )
    sha256: Mapping[Literal["amd64", "arm64"], Annotated[str, pydantic.StringConstraints(pattern="^[0-9a-f]{64}$")]] = (
        pydantic.Field(default_factory=dict)
    )

    def step(self, architecture: str, unit: str) -> Release:
        """Return the step that installs it.

        Raises:
            UnsupportedError: no checksum is known for the version and architecture.

        """
        sums = dict(KNOWN_SUMS.get(self.version, {}))
        sums.update((name, value) for name, value in self.sha256.items())
        if architecture not in sums:
            raise UnsupportedError(
                f"no SHA-256 is known for JuiceFS {self.version} on {architecture}",
                hint=f"give it as release.sha256.{architecture}",
            )
        url = self.url.replace("{version}", self.version).replace("{arch}", architecture)
        member = "juicefs" if url.endswith((".tar.gz", ".tgz")) else ""
        return Release(PROGRAM, url, sums[architecture], member, restarts=(unit,))


class JuiceFS(Backend):
    """A JuiceFS volume. ``metadata`` holds no password; without keys the instance's role is used for S3."""

    kind: ClassVar[str] = "juicefs"
    fstype: ClassVar[str] = "fuse.juicefs"
    root_inode: ClassVar[int] = 1

    volume: Annotated[str, pydantic.StringConstraints(pattern="^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")] = pydantic.Field(
        description="the volume's name: 3 to 63 lower-case letters, digits and dashes", examples=["checkpoints"]
    )
    metadata: OneLine = pydantic.Field(
        description="redis://HOST:PORT/DB, rediss:// for TLS, mysql://USER@HOST:PORT/DATABASE (RDS), "
        "postgres://USER@HOST:PORT/DATABASE, or sqlite3:///PATH for a single node; never with a password",
        examples=["rediss://my-cluster.example.com:6379/1"],
    )
    metadata_password: SecretReference | None = pydantic.Field(
        None,
        description="its password, by reference: env:NAME, file:PATH, ssm:NAME or secretsmanager:NAME",
        examples=["env:META_PASSWORD"],
    )
    metadata_ca: OneLine | None = pydantic.Field(
        None, description="a PEM file here with the own CA of rediss:// or postgres://", examples=["redis-ca.pem"]
    )
    storage: Literal["s3", "minio", "gs", "file"] = pydantic.Field("s3", description="the kind of object storage")
    bucket: OneLine = pydantic.Field(
        description="https://BUCKET.s3.REGION.amazonaws.com, or http://HOST:PORT/BUCKET for any other S3",
        examples=["https://my-checkpoints.s3.us-east-1.amazonaws.com"],
    )
    access_key: SecretReference | None = pydantic.Field(
        None, description="keys for S3, by reference; without them the instance's role is used", examples=["env:S3_KEY"]
    )
    secret_key: SecretReference | None = pydantic.Field(None, examples=["env:S3_SECRET"])
    profile: Literal["checkpoint"] | None = pydantic.Field(
        None, description="options measured to suit large images", examples=["checkpoint"]
    )
    options: Mapping[str, bool | int | float | str] = pydantic.Field(
        default_factory=dict, description="any flag of `juicefs mount`", examples=[{"buffer-size": 2048}]
    )
    accept_data_loss: bool = pydantic.Field(
        False,  # noqa: FBT003 - a default value
        description="allow options that lose acknowledged checkpoints with the node",
    )
    release: Download = pydantic.Field(Download(), description="which JuiceFS is installed, and from where")

    @pydantic.field_validator("metadata")
    @classmethod
    def _metadata_is_an_address(cls, address: str) -> str:
        _metadata.parse(address)
        return address

    @pydantic.field_validator("bucket")
    @classmethod
    def _bucket_is_an_address(cls, address: str) -> str:
        if "@" in address.partition("://")[2].partition("/")[0]:
            raise ValueError("an address without keys or a password: give access_key and secret_key")
        if not re.match(r"https?://[^/]|/[^/]", address):
            raise ValueError("https://BUCKET.s3.REGION.amazonaws.com or http://HOST:PORT/BUCKET")
        try:
            _ = urlsplit(address).port
        except ValueError:
            raise ValueError("an address whose host and port can be read: http://HOST:PORT/BUCKET") from None
        return address.rstrip("/")

    _certificate_is_a_file = pydantic.field_validator("metadata_ca")(certificate)

    @pydantic.field_validator("options")
    @classmethod
    def _options_are_flags(cls, options: Mapping[str, object]) -> Mapping[str, object]:
        for key, value in options.items():
            if not re.fullmatch("[a-z][a-z0-9-]*", key):
                raise ValueError(f"a flag of `juicefs mount` without dashes in front, not {key!r}")
            if key in _OWN_FLAGS:
                raise ValueError(
                    f"no {key!r}: the unit runs JuiceFS in the foreground and keeps its log in the journal"
                )
            if isinstance(value, str):
                OneLineAdapter.validate_python(value)
        return options

    @pydantic.model_validator(mode="after")
    def _checkpoints_are_not_written_back(self) -> JuiceFS:
        if self.options.get("writeback") and self.role == "checkpoint" and not self.accept_data_loss:
            raise ValueError(
                "options: no 'writeback' for role checkpoint: it acknowledges what only this node has, and a reclaimed "
                "node takes it away; say accept_data_loss = true if that is what you want"
            )
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key: access_key and secret_key together, or neither for the instance's role")
        if self.metadata_ca and self.engine.scheme not in {"rediss", "postgres"}:
            raise ValueError("metadata_ca: an own CA with rediss:// or postgres:// only")
        return self

    @property
    def engine(self) -> _metadata.MetadataEngine:
        """The metadata engine, taken apart."""
        return _metadata.parse(self.metadata)

    @property
    def price_tier(self) -> str:
        """S3's, when the bucket is AWS' own."""
        address = urlsplit(self.bucket).hostname or ""
        if self.storage != "s3" or not address.endswith((".amazonaws.com", ".amazonaws.com.cn")):
            return ""
        return "s3-express" if "--x-s3." in address else "s3-standard"

    @property
    def metadata_engine(self) -> str:
        """Redis, or which SQL."""
        return self.engine.scheme

    def source(self) -> str:
        """JuiceFS reports its volume."""
        return f"JuiceFS:{self.volume}"

    def client(self, node: Node) -> Iterator[Step]:
        """Yield the program, its credentials and the endpoints that must answer."""
        if not node.has_fuse:
            raise UnsupportedError("/dev/fuse is missing on this node", hint="load the fuse module: modprobe fuse")
        yield from self._program(node)
        # The keys of S3 lie in the volume's metadata; a mount needs the password of that only.
        yield Environment(self._environment, self._password(), restarts=(self.unit,))
        yield from self._endpoints()

    def _program(self, node: Node) -> Iterator[Step]:
        if (node.distribution, node.version) == ("amzn", "2"):
            yield Package("fusermount", ("fuse",))
        else:
            yield Package("fusermount3", ("fuse3",))
        release = self.release.step(node.architecture, self.unit)
        if not release.url.startswith("file:"):
            yield Package("curl", ("curl",))
        if release.member:
            yield Package("tar", ("tar",))
        yield release
        yield Directory(CONFIG_DIRECTORY)
        if self.metadata_ca:
            yield File(self._certificate, read(self.metadata_ca), restarts=(self.unit,))

    def _endpoints(self) -> Iterator[Step]:
        if self.engine.host:
            yield Reachable(self.engine.what, self.engine.host.split(",")[0], self.engine.port)
        if self.bucket.startswith("http"):
            address = urlsplit(self.bucket)
            port = address.port or (443 if address.scheme == "https" else 80)
            yield Reachable("S3", address.hostname or "", port)

    def provision(self, node: Node) -> Plan:
        """Return the plan that makes the database, looks at Redis, and formats the volume once."""
        steps = (
            *self._program(node),
            *self._endpoints(),
            *_volume.steps(self, node, certificate=self._certificate if self.metadata_ca else ""),
        )
        return Plan(self.name, self.kind, self.mount_point, self.data_path, steps, hints=HINTS)

    def variables(self, node: Node) -> Mapping[str, object]:  # noqa: ARG002 - the contract
        """The command in the foreground, its environment file, the volume."""
        return {"volume": self.volume, "environment": self._environment, "command": self._command()}

    def caches(self) -> tuple[Cache, ...]:
        """The kernel's, and JuiceFS' own on disk when it has one."""
        if str(self.settings().get("cache-size")) == "0":
            return (Cache("page"),)
        return (Cache("page"), *(Cache("directory", path) for path in self.settings()["cache-dir"].split(":")))

    def settings(self) -> Mapping[str, str]:
        """The mount's flags: this tool's defaults, below the profile's, below the user's."""
        profile = CHECKPOINT_PROFILE if self.profile == "checkpoint" else {}
        # A folder per mount, so that emptying one mount's cache for a cold read leaves the others alone.
        defaults = {"check-storage": True, "cache-dir": f"/var/cache/juicefs/{self.name}", "no-usage-report": True}
        return {key: _text(value) for key, value in {**defaults, **profile, **self.options}.items()}

    def hints(self) -> Mapping[str, str]:
        """What JuiceFS' log lines mean."""
        return HINTS

    def warnings(self) -> tuple[str, ...]:
        """What acknowledges data before S3 has it."""
        if self.options.get("writeback"):
            return ("writeback acknowledges data that only this node has: it is lost with the node",)
        return ()

    @property
    def _environment(self) -> str:
        return f"{CONFIG_DIRECTORY}/{self.name}.env"

    @property
    def _certificate(self) -> str:
        return f"{CONFIG_DIRECTORY}/{self.name}-ca.pem"

    def _password(self) -> Mapping[str, SecretReference | str]:
        return {"META_PASSWORD": self.metadata_password} if self.metadata_password else {}

    def metadata_url(self) -> str:
        """Return the metadata engine's address as JuiceFS takes it, without the password."""
        return self.engine.url(certificate=self._certificate if self.metadata_ca else "")

    def _command(self) -> list[str]:
        flags = [f"--{key}={value}" for key, value in self.settings().items()]
        return [PROGRAM, "mount", *flags, self.metadata_url(), self.mount_point]


OneLineAdapter: pydantic.TypeAdapter[str] = pydantic.TypeAdapter(OneLine)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
