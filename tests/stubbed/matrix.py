"""Which storage goes on which distribution, by which packages: what the tests check and docs/distributions.md shows."""

from __future__ import annotations

from dataclasses import dataclass

from distributions import DISTRIBUTIONS
from example_mount import CHECKSUM, release

FINGERPRINT = "8AEFE705EBE329C0948C75A66F1C3B3AEF4B030B"


@dataclass(frozen=True)
class Storage:
    """A storage as users name it. ``keys`` are those of its table beside the common ones."""

    name: str
    backend: str
    keys: str


STORAGES = {
    "juicefs": Storage(
        "JuiceFS",
        "juicefs",
        f'volume = "checkpoints"\nmetadata = "redis://r/1"\nbucket = "http://s:1/b"\nrelease = {release(CHECKSUM)}\n',
    ),
    "efs": Storage("EFS, by efs-utils", "efs", 'file_system = "fs-0123456789abcdef0"\niam = true\nowner = "daemon"\n'),
    "efs_tls": Storage(
        "EFS, by stunnel",
        "efs",
        'file_system = "fs-0123456789abcdef0"\nhelper = "none"\nregion = "us-east-1"\n',
    ),
    "efs_plain": Storage(
        "EFS, plain NFS",
        "efs",
        'file_system = "fs-0123456789abcdef0"\nhelper = "none"\ntls = false\nmount_target = "10.0.0.9"\n',
    ),
    "s3files": Storage("S3 Files", "s3files", 'file_system = "fs-0123456789abcdef0"\n'),
    "fsx_lustre": Storage(
        "FSx for Lustre",
        "fsx_lustre",
        'file_system = "fs-0123456789abcdef0"\nmount_name = "abcdefgh"\nregion = "us-east-1"\n'
        'directory = "data"\nstripes = "-c 4"\n',
    ),
    "mountpoint_s3": Storage(
        "Mountpoint for S3", "mountpoint_s3", 'bucket = "my-data"\nregion = "us-east-1"\nwritable = true\n'
    ),
    "ebs": Storage("EBS", "ebs", 'device = "/stub-volume/blank"\n'),
    "local": Storage("a directory", "local", 'path = "/var/scratch"\n'),
}

_EFS = {**dict.fromkeys(DISTRIBUTIONS, ("curl",)), "al2": ("amazon-efs-utils",), "al2023": ("amazon-efs-utils",)}
_DEBIAN = [name for name in DISTRIBUTIONS if name.startswith(("debian", "ubuntu"))]


def _by_family(debian: tuple[str, ...], rhel: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {name: debian if name in _DEBIAN else rhel for name in DISTRIBUTIONS}


#: What is installed. ``KERNEL`` is the node's.
PACKAGES: dict[str, dict[str, tuple[str, ...]]] = {
    "juicefs": {**_by_family(("curl", "fuse3"), ("curl", "fuse3")), "al2": ("curl", "fuse")},
    "efs": _EFS,
    "efs_tls": _by_family(("nfs-common", "openssl", "stunnel4"), ("nfs-utils", "openssl", "stunnel")),
    "efs_plain": _by_family(("nfs-common",), ("nfs-utils",)),
    "s3files": _EFS,
    "fsx_lustre": {
        **dict.fromkeys(_DEBIAN, ("curl", "lustre-client-modules-KERNEL")),
        **dict.fromkeys(("rhel8", "rhel9", "rocky8", "rocky9"), ("kmod-lustre-client", "lustre-client")),
        "al2": ("lustre", "lustre-client"),
        "al2023": ("lustre-client",),
    },
    "mountpoint_s3": {
        **_by_family(("curl", "gnupg", "mount-s3.deb"), ("curl", "gnupg2", "mount-s3.rpm")),
        "al2023": ("mount-s3",),
    },
    "ebs": dict.fromkeys(DISTRIBUTIONS, ("xfsprogs",)),
    "local": dict.fromkeys(DISTRIBUTIONS, ()),
}

#: What is refused, and a part of the line that says why: of the plan, or of the step that fails.
REFUSED = {
    ("efs_tls", "al2"): "no stunnel that checks a certificate's name",
    ("s3files", "al2"): "no amazon-efs-utils 3",
    ("fsx_lustre", "debian12"): "no Lustre client for debian 12 with kernel 6.1.0-26-cloud-amd64",
    ("fsx_lustre", "debian13"): "no Lustre client for debian 13",
    ("efs", "debian12"): "no package of amazon-efs-utils for this distribution",
    ("efs", "debian13"): "no package of amazon-efs-utils for this distribution",
    ("s3files", "debian12"): "no package of amazon-efs-utils for this distribution",
    ("s3files", "debian13"): "no package of amazon-efs-utils for this distribution",
}

#: What runs on the lab's nodes, which are Debian 13; ``kernel`` nodes have a kernel of their own.
REAL = {
    ("juicefs", "debian13"): "real",
    ("mountpoint_s3", "debian13"): "real, with a mount-s3 at hand",
    ("local", "debian13"): "real",
    ("efs_tls", "debian13"): "real, on kernel nodes",
    ("efs_plain", "debian13"): "real, on kernel nodes",
    ("ebs", "debian13"): "real, on kernel nodes",
}
