"""AWS' packages of Mountpoint: where they are, and whose signature they must have.

Source: https://github.com/awslabs/mountpoint-s3/blob/main/doc/INSTALL.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pydantic

from mounttool.backends._fields import OneLine
from mounttool.node import Node
from mounttool.plan import Ensure, Step
from mounttool.plan import Package as Packages

PROGRAM = "/usr/bin/mount-s3"
_FUNCTIONS = (Path(__file__).parents[1] / "shell" / "mountpoint.sh").read_text(encoding="utf-8")
Fingerprint = Annotated[str, pydantic.StringConstraints(pattern="^[0-9A-F]{40}$")]


class Package(pydantic.BaseModel):
    """``url`` has the packages, in folders by version and architecture, and ``public_keys/KEYS``."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    version: Annotated[str, pydantic.StringConstraints(pattern=r"^(latest|\d+\.\d+\.\d+)$")] = "latest"
    url: Annotated[OneLine, pydantic.StringConstraints(pattern="^(https?|file)://")] = (
        "https://s3.amazonaws.com/mountpoint-s3-release"
    )
    #: The present key and the one before it: older packages keep their signature.
    fingerprints: tuple[Fingerprint, ...] = (
        "8AEFE705EBE329C0948C75A66F1C3B3AEF4B030B",
        "673FE4061506BB469A0EF857BE397A52B086DA5A",
    )


def install(node: Node, release: Package) -> Iterator[Step]:
    """Yield what brings the program: Amazon Linux 2023 has it, elsewhere it is AWS' package."""
    if (node.distribution, node.version) == ("amzn", "2023") and release.version == "latest":
        yield Packages("mount-s3", ("mount-s3",))
        return
    suffix = "deb" if node.family == "debian" else "rpm"
    architecture = "x86_64" if node.architecture == "amd64" else "arm64"
    number = "" if release.version == "latest" else f"-{release.version}-{architecture}"
    if not release.url.startswith("file:"):
        yield Packages("curl", ("curl",))
    yield Packages("gpg", ("gnupg" if node.family == "debian" else "gnupg2",))
    environment = {
        "VERSION": release.version,
        "PACKAGE": f"{release.url}/{release.version}/{architecture}/mount-s3{number}.{suffix}",
        "KEYS": f"{release.url}/public_keys/KEYS",
        "FINGERPRINTS": " ".join(release.fingerprints),
    }
    yield Ensure(
        f"mount-s3 {release.version}",
        "mountpoint_is_installed",
        "mountpoint_install",
        environment,
        library=_FUNCTIONS,
    )
