"""The distributions that are supported: how each names itself, its kernel, its systemd, shell and package managers.

``os-release/`` has what each says of itself in that file, without addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_FILES = Path(__file__).parent / "os-release"


@dataclass(frozen=True)
class Distribution:
    """``kernel`` is what `uname -r` says on amd64, ``systemd`` its version; ``shell`` is what /bin/sh is."""

    key: str
    name: str
    kernel: str
    systemd: int
    shell: str
    managers: tuple[str, ...]

    @property
    def release(self) -> str:
        """The text of /etc/os-release."""
        return (_FILES / self.key).read_text(encoding="utf-8")

    def kernel_on(self, architecture: str) -> str:
        """The kernel's release, whose end may name the machine."""
        if architecture == "arm64":
            return self.kernel.replace("x86_64", "aarch64").replace("-amd64", "-arm64")
        return self.kernel


def _apt(key: str, name: str, kernel: str, systemd: int) -> Distribution:
    return Distribution(key, name, kernel, systemd, "dash", ("apt-get", "apt-cache", "dpkg-query"))


def _dnf(key: str, name: str, kernel: str, systemd: int) -> Distribution:
    # yum is dnf by another name there.
    return Distribution(key, name, kernel, systemd, "bash", ("dnf", "yum", "rpm"))


_ALL = (
    Distribution(
        "al2", "Amazon Linux 2", "5.10.223-212.873.amzn2.x86_64", 219, "bash", ("yum", "amazon-linux-extras", "rpm")
    ),
    _dnf("al2023", "Amazon Linux 2023", "6.1.148-173.267.amzn2023.x86_64", 252),
    _dnf("rhel8", "RHEL 8", "4.18.0-553.22.1.el8_10.x86_64", 239),
    _dnf("rhel9", "RHEL 9", "5.14.0-611.9.1.el9_7.x86_64", 252),
    _dnf("rocky8", "Rocky 8", "4.18.0-553.22.1.el8_10.x86_64", 239),
    _dnf("rocky9", "Rocky 9", "5.14.0-570.37.1.el9_6.x86_64", 252),
    _apt("ubuntu2004", "Ubuntu 20.04", "5.15.0-1071-aws", 245),
    _apt("ubuntu2204", "Ubuntu 22.04", "6.8.0-1018-aws", 249),
    _apt("ubuntu2404", "Ubuntu 24.04", "6.8.0-1029-aws", 255),
    _apt("debian12", "Debian 12", "6.1.0-26-cloud-amd64", 252),
    _apt("debian13", "Debian 13", "6.12.43+deb13-cloud-amd64", 257),
)
#: By the name that tests use.
DISTRIBUTIONS = {found.key: found for found in _ALL}
