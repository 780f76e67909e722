"""A root of its own: an overlay over this machine's, in namespaces of their own, with stub programs first on PATH.

Nothing that runs there can change this machine: what is written lies in a tmpfs that goes with the namespace.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from distributions import DISTRIBUTIONS

from mounttool import node as nodes
from mounttool import render
from mounttool.deliver.outcome import MountOutcome, Reader
from mounttool.node import Node
from mounttool.plan import Plan
from mounttool.render import Intent

STUBS = Path(__file__).parents[1] / "stubs"
SHELLS = {"dash": ["dash", "-s"], "bash": ["/stubs/this/bash", "-s"], "busybox": ["busybox", "sh", "-s"]}
_ALWAYS = (
    "_stub.sh", "systemctl", "journalctl", "chattr", "lsattr", "uname", "modprobe", "getent", "udevadm", "blkid",
    "blockdev",
)  # fmt: skip
#: What comes with a package.
_PACKAGED = ("curl", "gpg", "openssl", "mkfs.xfs", "xfs_info", "lfs")
#: Without bash no TCP endpoint is tried; as the script's shell it stands where PATH does not lead.
#: What this machine has must not be found behind the stubs.
_HIDDEN = """
apt-get apt-cache dpkg-query dnf yum rpm systemctl journalctl curl wget fusermount fusermount3 chattr lsattr
juicefs bash gpg openssl mount.nfs4 stunnel stunnel4 mkfs.xfs xfs_info lfs mount-s3
"""
#: What a stub is called with when it only looks.
_LOOKS = (
    "systemctl -q is-active",
    "systemctl -q is-enabled",
    "systemctl show",
    "lsattr ",
    "rpm -q",
    "dpkg-query ",
    "journalctl ",
    "modprobe -n",
    "getent ",
    "blkid ",
    "openssl ",
    "udevadm settle",
    "systemctl cat",
)

# The holder of the namespaces: everything else enters them. It says "ready" and ends when its standard input does.
_HOLDER = r"""
set -eu
mount -t tmpfs -o size=256m tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work$2" "$1/root"
root=$1/root
for file in $3; do rm -f "$root/usr/bin/$file" "$root/usr/sbin/$file" "$root/usr/local/bin/$file"; done
rm -rf "$root/var/lib/mounttool" "$root/etc/mounttool" "$root/usr/local/lib/mounttool"
rm -rf "$root/mnt" "$root/mmc-checkpoint"
rm -f "$root"/etc/systemd/system/*.service "$root/etc/fuse.conf"
rm -rf "$root"/etc/systemd/system/*.service.d "$root"/var/cache/juicefs
mkdir -p "$root/mnt" "$root/stubs" "$root/stub-state" "$root/proc" "$root/dev"
rm -f "$root/etc/os-release"
printf '%s' "$5" >"$root/etc/os-release"
mount --bind "$4" "$root/stub-state"
mount -t tmpfs tmpfs "$root/stubs"
cp "$4"/stubs/* "$root/stubs/"
mkdir "$root/stubs/this"
cp "$(command -v bash)" "$root/stubs/this/"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/systemd/system"
mount -t tmpfs tmpfs "$root/tmp"
echo ready
cat
"""

_TREE = r"""
cd "$1"
find . ! -path './stub*' ! -path ./work ! -type c | LC_ALL=C sort | while IFS= read -r path; do
    if [ -L "$path" ]; then echo "$path -> $(readlink "$path")"
    elif [ -f "$path" ]; then echo "$path $(stat -c '%a %U %G' "$path") $(sha256sum <"$path")"
    else echo "$path $(stat -c '%F %a %U %G' "$path")"; fi
done
"""


def obstacle() -> str:
    """Why no such root can be made here; empty when it can."""
    # In the namespace's own /tmp.
    attempt = "mount -t tmpfs tmpfs /tmp && mkdir /tmp/u /tmp/w /tmp/r && exec mount -t overlay overlay -o $0 /tmp/r"
    options = f"lowerdir=/,upperdir=/tmp/u,workdir=/tmp/w{_xattr()}"
    done = subprocess.run([*_unshare(), "sh", "-c", attempt, options], capture_output=True, text=True, check=False)
    said = " ".join(done.stderr.split())
    return "" if done.returncode == 0 else f"needs root, or user namespaces that may mount an overlay of /: {said}"


def _xattr() -> str:
    return ",userxattr" if os.geteuid() else ""


def _unshare() -> list[str]:
    return [
        "unshare",
        *(["-r"] if os.geteuid() else []),
        "-m",
        "-p",
        "--fork",
        "--kill-child",
        "--propagation",
        "private",
    ]


@dataclass
class Run:
    """What one script did: its outcomes, the lines it printed, and how the stubs were called meanwhile."""

    returncode: int
    outcomes: list[MountOutcome]
    lines: list[str]
    stderr: str
    calls: list[str]

    @property
    def only(self) -> MountOutcome:
        assert len(self.outcomes) == 1, (self.lines, self.stderr)
        return self.outcomes[0]

    @property
    def actions(self) -> list[str]:
        """The calls that were not mere looking."""
        return [call for call in self.calls if not call.startswith(_LOOKS)]

    def statuses(self) -> set[str]:
        return {step.status for step in self.only.steps}

    def step(self, title: str) -> str:
        (found,) = [step.status for step in self.only.steps if step.title.startswith(title)]
        return found


@dataclass
class PrivateRoot:
    """``folder`` is on this machine; ``shell`` runs the scripts."""

    folder: Path
    distribution: str = "debian12"
    shell: str = "dash"
    architecture: str = "amd64"
    #: Variables that the scripts find beside PATH.
    environment: dict[str, str] = field(default_factory=dict)
    _holder: subprocess.Popen[str] | None = field(default=None, repr=False)
    _pid: str = ""

    def open(self) -> PrivateRoot:
        for name in ("state/stubs", "state/hooks", "state/www", "state/packaged", "mount"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        distribution = DISTRIBUTIONS[self.distribution]
        for name in (*_ALWAYS, *distribution.managers):
            shutil.copy(STUBS / name, self.state / "stubs")
        for name in _PACKAGED:
            shutil.copy(STUBS / name, self.state / "packaged")
        (self.state / "kernel").write_text(distribution.kernel_on(self.architecture) + "\n", encoding="ascii")
        machine = {"amd64": "x86_64", "arm64": "aarch64"}[self.architecture]
        (self.state / "systemd").write_text(f"{distribution.systemd}\n", encoding="ascii")
        (self.state / "machine").write_text(f"{machine}\n", encoding="ascii")
        (self.state / "log").touch()
        arguments = [
            str(self.folder / "mount"),
            _xattr(),
            _HIDDEN,
            str(self.state),
            distribution.release,
        ]
        self._holder = subprocess.Popen(
            [*_unshare(), "sh", "-c", _HOLDER, "sh", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != "ready\n":
            raise AssertionError(f"no private root: {self._holder.stderr.read()}")
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text(encoding="ascii")
        self._pid = children.split()[0]
        return self

    def close(self) -> None:
        if self._holder is not None:
            self._holder.communicate(timeout=10)
            self._holder = None

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def hook(self, name: str, text: str = "") -> None:
        """Make a stub do ``text`` first when it is called so (``systemctl-start``); empty: no longer."""
        file = self.state / "hooks" / name
        file.unlink(missing_ok=True)
        if text:
            file.write_text(text + "\n", encoding="utf-8")

    def command(self, *argv: str, inside: bool = True) -> list[str]:
        enter = ["nsenter", "-t", self._pid, *(["-U", "--preserve-credentials"] if os.geteuid() else []), "-m", "-p"]
        return [*enter, *(["chroot", str(self.folder / "mount/root")] if inside else []), *argv]

    def popen(self, script: str) -> subprocess.Popen[str]:
        variables = {"PATH": "/stubs:/usr/sbin:/usr/bin:/sbin:/bin", **self.environment}
        assignments = [f"{name}={value}" for name, value in variables.items()]
        process = subprocess.Popen(
            self.command("/usr/bin/env", "-i", *assignments, *SHELLS[self.shell]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(script)
        process.stdin.close()
        process.stdin = None
        return process

    def sh(self, script: str) -> str:
        """Run ``script`` there by a plain shell, as an administrator would."""
        done = subprocess.run(
            self.command("/bin/sh", "-euc", script), capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def facts(self) -> Node:
        """What the one probe finds there."""
        process = self.popen(nodes.PROBE)
        stdout, stderr = process.communicate(timeout=30)
        assert process.returncode == 0, stderr
        return nodes.parse(stdout)

    def packages(self) -> list[str]:
        """What was installed since the root was opened."""
        folder = self.state / "packages"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def run(self, plans: Sequence[Plan], intent: Intent | None = None) -> Run:
        before = len(self.calls())
        process = self.popen(render.script(plans, intent or Intent()))
        stdout, stderr = process.communicate(timeout=120)
        reader = Reader(plans)
        lines = stdout.splitlines()
        for line in lines:
            reader.line(line)
        return Run(process.returncode, reader.outcomes, lines, stderr, self.calls()[before:])

    def calls(self) -> list[str]:
        return (self.state / "log").read_text(encoding="utf-8").splitlines()

    def tree(self) -> list[str]:
        """Every path that this machine has not or has otherwise, with mode, owner and checksum."""
        done = subprocess.run(
            self.command("sh", "-c", _TREE, "sh", str(self.folder / "mount/upper"), inside=False),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()
