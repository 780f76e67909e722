"""Mountpoint for Amazon S3: a bucket, or a prefix of one, as files that are written once from beginning to end.

Options: https://github.com/awslabs/mountpoint-s3/blob/main/doc/CONFIGURATION.md; what it cannot: SEMANTICS.md there.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

import pydantic

from mounttool.backends import _mountpoint_release
from mounttool.backends._fields import AbsolutePath, OneLine, SecretReference, Size, UserName
from mounttool.backends._flags import value_of
from mounttool.backends.base import CONFIG_DIRECTORY, Backend
from mounttool.errors import UnsupportedError
from mounttool.node import Node
from mounttool.plan import Cache, Directory, Ensure, Environment, Package, Reachable, Step
from mounttool.semantics import FEATURES, Feature

#: What S3 allows of one upload.
MAX_PARTS = 10_000
DEFAULT_PART_BYTES = 8 * 2**20

#: What `fab compat` finds missing whatever the flags are, and what a flag adds.
_NEVER: frozenset[Feature] = frozenset(
    ("append", "overwrite", "rename", "rename-over", "symlink", "hard-link", "punch-hole", "truncate", "chmod", "mmap")
)
_WITH: Mapping[str, Feature] = {"--allow-delete": "delete"}
#: What is left of a mount without writing.
_READING: frozenset[Feature] = frozenset(("close-to-open", "o-direct"))

HINTS = {
    r"InvalidAccessKeyId|SignatureDoesNotMatch|signature we calculated|[Aa]ccess [Kk]ey I[Dd] you provided": (
        "S3 refused the keys: check access_key and secret_key"
    ),
    r"AccessDenied|Forbidden|Access Denied|not authorized": (
        "the credentials may not list this bucket: grant s3:ListBucket, s3:GetObject and, to write, s3:PutObject"
    ),
    r"NoSuchBucket|bucket does not exist": "the bucket is not there: create it, or correct `bucket` and `region`",
    r"No signing credentials|no credentials|CREDENTIALS_PROVIDER|could not load credentials": (
        "no credentials: give the instance a role, or set access_key and secret_key, or no_sign_request"
    ),
    r"[Ff]ailed to connect|DNS|SOCKET|dns": "S3 cannot be reached: check endpoint and region, and the route to S3",
    r"PermanentRedirect|AuthorizationHeaderMalformed|wrong region|301": "the bucket is in another region: set `region`",
    r"user_allow_other|allow_other only allowed|fusermount.* permission denied|Permission denied": (
        "a user without root mounts only on a directory of its own, and with user_allow_other in /etc/fuse.conf"
    ),
    r"unexpected argument|invalid value|cannot be used with": "see `mount-s3 --help` on the node for its options",
    r"Unable to find a match: mount-s3|No match for argument: mount-s3": (
        "this Amazon Linux 2023 is too old to have it: upgrade it, or set release.version for AWS' own package"
    ),
}


class MountpointS3(Backend):
    """A bucket. ``arguments`` replaces every other option, as the third argument of the recipe's ``mount.sh`` does."""

    kind: ClassVar[str] = "mountpoint_s3"
    fstype: ClassVar[str] = "fuse"
    example_name: ClassVar[str] = "data"
    example_keys: ClassVar[frozenset[str]] = frozenset({"region"})

    role: Literal["checkpoint", "scratch", "data"] = pydantic.Field(
        "data", description="checkpoint: what is acknowledged must be safe; scratch: may be lost; data: inputs"
    )
    bucket: Annotated[OneLine, pydantic.StringConstraints(pattern="^[A-Za-z0-9][A-Za-z0-9.:/_-]{2,}$")] = (
        pydantic.Field(description="its name, or the ARN of an access point", examples=["my-data"])
    )
    prefix: Annotated[OneLine, pydantic.StringConstraints(pattern="^[^/].*/$")] | None = pydantic.Field(
        None, description="only what is below it is seen; ends in /", examples=["mmc-checkpoint/"]
    )
    region: OneLine | None = pydantic.Field(None, description="found out when left out", examples=["us-east-1"])
    endpoint: Annotated[OneLine, pydantic.StringConstraints(pattern="^https?://[^/@]+$")] | None = pydantic.Field(
        None, description="of another S3: http://HOST:PORT"
    )
    path_style: bool = pydantic.Field(False, description="the bucket in the path, not in the host's name")  # noqa: FBT003 - a default value
    writable: bool = pydantic.Field(False, description="without it the mount is read-only")  # noqa: FBT003 - a default value
    allow_delete: bool = pydantic.Field(False, description="files may be deleted")  # noqa: FBT003 - a default value
    allow_overwrite: bool = pydantic.Field(False, description="files may be replaced as a whole")  # noqa: FBT003 - a default value
    no_sign_request: bool = pydantic.Field(False, description="a public bucket, without credentials")  # noqa: FBT003 - a default value
    requester_pays: bool = pydantic.Field(False, description="you pay for what you read")  # noqa: FBT003 - a default value
    access_key: SecretReference | None = pydantic.Field(
        None, description="keys, by reference; without them the instance's role is used", examples=["env:S3_KEY"]
    )
    secret_key: SecretReference | None = pydantic.Field(None, examples=["env:S3_SECRET"])
    cache: AbsolutePath | None = pydantic.Field(
        None, description="a directory on the node's disk for what was read", examples=["/var/cache/mountpoint-s3"]
    )
    cache_size: Size | None = pydantic.Field(None, description="its size", examples=["20GiB"])
    read_part_size: Size | None = pydantic.Field(None, description="8 MiB by default", examples=["16MiB"])
    write_part_size: Size | None = pydantic.Field(
        None, description="8 MiB by default; 10,000 parts are the largest file", examples=["64MiB"]
    )
    largest_file: Size | None = pydantic.Field(
        None, description="the largest checkpoint to come: refused here rather than at its end", examples=["200GiB"]
    )
    allow: Literal["other", "root", "nobody"] = pydantic.Field(
        "other", description="who may use the mount beside the user who mounts it"
    )
    uid: pydantic.NonNegativeInt | None = pydantic.Field(None, description="whose files they are", examples=[1000])
    gid: pydantic.NonNegativeInt | None = pydantic.Field(None, examples=[1000])
    run_as: UserName | None = pydantic.Field(
        None, description="the user who mounts; root when left out", examples=["ec2-user"]
    )
    options: Mapping[str, bool | int | float | str] = pydantic.Field(
        default_factory=dict, description="any other option of `mount-s3`", examples=[{"metadata-ttl": 60}]
    )
    arguments: OneLine | None = pydantic.Field(
        None, description="every option of `mount-s3` as one string, in place of the keys above",
        examples=["--allow-root --read-only --debug"],
    )  # fmt: skip
    release: _mountpoint_release.Package = pydantic.Field(
        _mountpoint_release.Package(), description="AWS' package, whose signature is verified"
    )

    @pydantic.model_validator(mode="after")
    def _only_what_it_can(self) -> MountpointS3:
        if self.directory:
            raise ValueError(
                "directory: none: an empty directory of Mountpoint is gone after a remount, and a link to it leads "
                f'nowhere; set prefix = "{self.directory}/" and let the link lead to the root'
            )
        for key in ("owner", "group", "mode"):
            if key in self.model_fields_set:
                raise ValueError(f"{key}: uid and gid, or options dir-mode and file-mode: S3 keeps no owners and modes")
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key: access_key and secret_key together, or neither for the instance's role")
        if self.access_key and self.no_sign_request:
            raise ValueError("no_sign_request: false, or no keys")
        if self.cache_size and not self.cache:
            raise ValueError("cache_size: only with cache")
        return self

    @pydantic.model_validator(mode="after")
    def _arguments_are_all(self) -> MountpointS3:
        if self.arguments is not None:
            try:
                words = shlex.split(self.arguments)
            except ValueError as error:
                raise ValueError(f"arguments: words as a shell reads them: {error}") from None
            if {"-f", "--foreground"} & set(words):
                raise ValueError("arguments: no --foreground: the unit sets it")
            if mixed := sorted(self.model_fields_set & _REPLACED):
                raise ValueError(f"arguments: all options, or none: {mixed[0]} is given too")
        elif unknown := [key for key in self.options if not key.replace("-", "").isalnum() or key in _OWN]:
            raise ValueError(f"options: options of `mount-s3` that have no key of their own here, not {unknown[0]!r}")
        return self

    @pydantic.model_validator(mode="after")
    def _others_can_look(self) -> MountpointS3:
        try:
            self._endpoint()
        except ValueError:
            raise ValueError("endpoint: http://HOST:PORT, also among the arguments; region: a name") from None
        if self.run_as and not {"--allow-root", "--allow-other"} & set(self.flags()):
            raise ValueError("run_as: with allow-root or allow-other: otherwise nobody could see how the mount is")
        if self.largest_file and self.largest_file > self.largest_file_bytes:
            least = -(-self.largest_file // MAX_PARTS)
            raise ValueError(
                f"largest_file: at most {self.largest_file_bytes} bytes, {MAX_PARTS} parts of write_part_size: "
                f"set write_part_size to {-(-least // 2**20)}MiB or more"
            )
        return self

    def flags(self) -> list[str]:
        """Every option that `mount-s3` is given, as words."""
        if self.arguments is not None:
            return shlex.split(self.arguments)
        switches = {
            "--force-path-style": self.path_style,
            "--read-only": not self.writable,
            "--allow-delete": self.allow_delete,
            "--allow-overwrite": self.allow_overwrite,
            "--no-sign-request": self.no_sign_request,
            "--requester-pays": self.requester_pays,
            f"--allow-{self.allow}": self.allow != "nobody",
        }
        values = {
            "--prefix": self.prefix,
            "--region": self.region,
            "--endpoint-url": self.endpoint,
            "--cache": self.cache,
            "--max-cache-size": self.cache_size and self.cache_size // 2**20,
            "--read-part-size": self.read_part_size,
            "--write-part-size": self.write_part_size,
            "--uid": self.uid,
            "--gid": self.gid,
        }
        words = [flag for flag, wanted in switches.items() if wanted]
        words += [word for flag, value in values.items() if value is not None for word in (flag, str(value))]
        for key, value in self.options.items():
            words += [f"--{key}"] if value is True else [] if value is False else [f"--{key}", str(value)]
        return words

    @property
    def unit(self) -> str:
        """The recipe's name: many mounts live on a node, and people know how to find theirs."""
        digest = hashlib.md5(f"{self.bucket}:{self.mount_point}".encode(), usedforsecurity=False).hexdigest()
        return f"mountpoint-s3-{digest[:8]}.service"

    @property
    def read_only(self) -> bool:
        """Whether it was declared so, here or among the arguments."""
        return "--read-only" in self.flags()

    @property
    def mount_owner(self) -> str:
        """The user who mounts."""
        return self.run_as or ""

    @property
    def largest_file_bytes(self) -> int:
        """10,000 parts."""
        part = value_of(self.flags(), "--write-part-size") or value_of(self.flags(), "--part-size")
        return MAX_PARTS * int(part or DEFAULT_PART_BYTES)

    @property
    def price_tier(self) -> str:
        """S3's, unless the endpoint is another one's."""
        if self.endpoint or self.arguments:
            return ""
        return "s3-express" if self.bucket.endswith("--x-s3") else "s3-standard"

    def source(self) -> str:
        """Mountpoint does not report its bucket; the unit's name does."""
        return "mountpoint-s3"

    def client(self, node: Node) -> Iterator[Step]:
        """Yield the program, the credentials, and that S3 answers."""
        yield from self.program(node)
        yield from self.access()

    def program(self, node: Node) -> Iterator[Step]:
        """Yield what is installed, which depends on the node."""
        if not node.has_fuse:
            raise UnsupportedError("/dev/fuse is missing on this node", hint="load the fuse module: modprobe fuse")
        yield from _mountpoint_release.install(node, self.release)
        if self.run_as and node.family == "debian":
            yield Package("fusermount3", ("fuse3",))

    def access(self) -> Iterator[Step]:
        """Yield what lets the program work, equal on all nodes."""
        if self.run_as:
            yield Ensure(
                "user_allow_other in /etc/fuse.conf",
                "grep -qx 'user_allow_other' /etc/fuse.conf",
                "printf 'user_allow_other\\n' >>/etc/fuse.conf",
            )
        yield Directory(CONFIG_DIRECTORY)
        yield Environment(self._environment, self._credentials(), restarts=(self.unit,))
        if self.cache:
            yield Directory(self.cache, self.run_as or "root", "root", "0700")
        yield Reachable("S3", *self._endpoint())

    def _credentials(self) -> Mapping[str, SecretReference | str]:
        if self.access_key and self.secret_key:
            return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        return {}

    @property
    def _environment(self) -> str:
        return f"{CONFIG_DIRECTORY}/{self.name}.env"

    def _endpoint(self) -> tuple[str, int]:
        region = value_of(self.flags(), "--region")
        given = value_of(self.flags(), "--endpoint-url")
        address = urlsplit(given or f"https://s3.{region + '.' if region else ''}amazonaws.com")
        return address.hostname or "", address.port or (443 if address.scheme == "https" else 80)

    def variables(self, node: Node) -> Mapping[str, object]:  # noqa: ARG002 - the contract
        """The command in the foreground, its user and environment file."""
        return {
            "bucket": self.bucket,
            "user": self.run_as or "",
            "environment": self._environment,
            "command": [_mountpoint_release.PROGRAM, "--foreground", *self.flags(), self.bucket, self.mount_point],
        }

    def caches(self) -> tuple[Cache, ...]:
        """The kernel's, and Mountpoint's own on disk when it has one."""
        cache = value_of(self.flags(), "--cache")
        return (Cache("page"), *((Cache("directory", cache),) if cache else ()))

    def settings(self) -> Mapping[str, str]:
        """The options, as one string."""
        return {"flags": shlex.join(self.flags())}

    def hints(self) -> Mapping[str, str]:
        """What Mountpoint's log lines mean."""
        return HINTS

    def lacks(self) -> frozenset[Feature]:
        """What S3 cannot, and what was not allowed."""
        if self.read_only:
            return frozenset(FEATURES) - _READING
        return _NEVER | {feature for flag, feature in _WITH.items() if flag not in self.flags()}


#: Keys that `arguments` stands in for, and options that have such a key.
_REPLACED = {
    "prefix", "region", "endpoint", "path_style", "writable", "allow_delete", "allow_overwrite", "no_sign_request",
    "requester_pays", "cache", "cache_size", "read_part_size", "write_part_size", "allow", "uid", "gid", "options",
}  # fmt: skip
_OWN = {
    "prefix", "region", "endpoint-url", "force-path-style", "read-only", "allow-delete", "allow-overwrite",
    "no-sign-request", "requester-pays", "cache", "max-cache-size", "read-part-size", "write-part-size", "allow-root",
    "allow-other", "uid", "gid", "foreground", "f",
}  # fmt: skip
