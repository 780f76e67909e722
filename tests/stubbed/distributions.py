"""The distributions that are supported: how each names itself, its kernel, its shell and its package managers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Distribution:
    """``release`` is what counts of /etc/os-release; ``shell`` is what /bin/sh is there."""

    name: str
    release: str
    kernel: str
    shell: str
    managers: tuple[str, ...]

    def kernel_on(self, architecture: str) -> str:
        """The kernel's release, whose end may name the machine."""
        return self.kernel.replace("x86_64", "aarch64") if architecture == "arm64" else self.kernel


_APT = ("apt-get", "apt-cache", "dpkg-query")
_RHEL = 'ID="{id}"\nVERSION_ID="{version}"\nID_LIKE="{like}"\n'


def _debian(version: str, kernel: str) -> Distribution:
    return Distribution(f"Debian {version}", f'ID=debian\nVERSION_ID="{version}"\n', kernel, "dash", _APT)


def _ubuntu(version: str, kernel: str) -> Distribution:
    release = f'ID=ubuntu\nVERSION_ID="{version}"\nID_LIKE=debian\n'
    return Distribution(f"Ubuntu {version}", release, kernel, "dash", _APT)


def _rhel(name: str, identity: str, version: str, like: str, kernel: str) -> Distribution:
    release = _RHEL.format(id=identity, version=version, like=like)
    return Distribution(name, release, kernel, "bash", ("dnf", "yum", "rpm"))


#: By the name that tests use.
DISTRIBUTIONS = {
    "al2": Distribution(
        "Amazon Linux 2",
        _RHEL.format(id="amzn", version="2", like="centos rhel fedora"),
        "5.10.223-212.873.amzn2.x86_64",
        "bash",
        ("yum", "amazon-linux-extras", "rpm"),
    ),
    "al2023": Distribution(
        "Amazon Linux 2023",
        _RHEL.format(id="amzn", version="2023", like="fedora"),
        "6.1.112-122.189.amzn2023.x86_64",
        "bash",
        ("dnf", "yum", "rpm"),
    ),
    "rhel8": _rhel("RHEL 8", "rhel", "8.10", "fedora", "4.18.0-553.22.1.el8_10.x86_64"),
    "rhel9": _rhel("RHEL 9", "rhel", "9.6", "fedora", "5.14.0-570.12.1.el9_6.x86_64"),
    "rocky8": _rhel("Rocky 8", "rocky", "8.10", "rhel centos fedora", "4.18.0-553.22.1.el8_10.x86_64"),
    "rocky9": _rhel("Rocky 9", "rocky", "9.4", "rhel centos fedora", "5.14.0-427.37.1.el9_4.x86_64"),
    "ubuntu2004": _ubuntu("20.04", "5.15.0-1071-aws"),
    "ubuntu2204": _ubuntu("22.04", "6.8.0-1018-aws"),
    "ubuntu2404": _ubuntu("24.04", "6.8.0-1018-aws"),
    "debian12": _debian("12", "6.1.0-26-cloud-amd64"),
    "debian13": _debian("13", "6.12.43+deb13-cloud-amd64"),
}
