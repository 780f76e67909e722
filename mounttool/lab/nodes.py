"""A node's own layer over the image, and starting what boots it."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

from mounttool.lab import groups, kernels, keys, mirror, network
from mounttool.lab.image import FILES
from mounttool.lab.preflight import binary
from mounttool.lab.settings import (
    MAX_KERNEL_NODES,
    MAX_NODES,
    STORAGE,
    STORAGE_TLS,
    is_kernel_node,
    kernel_node_names,
    node_names,
)
from mounttool.lab.shell import call, remove
from mounttool.lab.storage import fill_storage

if TYPE_CHECKING:
    from pathlib import Path

    from mounttool.lab.settings import Settings


def start(settings: Settings, node: str, image: Path, disk: Path | None = None) -> bool:
    """Boot a node unless it runs; False when it did already. What an earlier boot wrote to its disk is still there.

    ``disk`` is what kernel nodes boot from.
    """
    if groups.looping(settings, node):
        return False
    groups.clear(settings, node)
    network.connect(settings, node)
    home = settings.directory(node)
    if not home.exists():
        _make(settings, node, image)
    for order in ("cut", "again"):
        (home / order).unlink(missing_ok=True)
    loop = kernels.loop(settings, node, disk) if disk and is_kernel_node(node) else _loop(settings, node, image)
    with (home / "log").open("ab") as log:
        # A session and a parent of its own: it outlives us and our terminal.
        subprocess.run(
            ["setsid", "--fork", "unshare", "--mount", "--propagation", "slave", *loop],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={"PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ.get('PATH', '')}"},
            check=True,
        )
    return True


def _loop(settings: Settings, node: str, image: Path) -> list[str]:
    home = settings.directory(node)
    argv = ["sh", str(FILES / "node.sh"), str(home), str(image), f"{settings.name}/{node}", settings.netns(node)]
    argv += [f"--machine={node}", f"--hostname={node}"]
    if node == STORAGE:
        argv.append(f"--bind-ro={binary('weed')}:/usr/local/bin/weed")
        argv.append(f"--bind-ro={mirror.folder(settings)}:/srv/mirror")
        # NFS names files by handles, which an overlay has none of: its data lies on the host's own file system.
        argv.append(f"--bind={home / 'export'}:/srv/nfs")
    return argv


def _make(settings: Settings, node: str, image: Path) -> None:
    """Make a node's folder; it has its name only once it is whole."""
    home = settings.directory(node)
    unfinished = home.with_name(f"{node}.unfinished")
    remove(unfinished)
    for part in ("upper/etc/ssh/lab", "work", "root"):
        (unfinished / part).mkdir(parents=True)
    (unfinished / "netns").touch()
    if is_kernel_node(node):
        with (unfinished / "volume").open("wb") as volume:
            volume.truncate(kernels.VOLUME_BYTES)
    # Not the host's own device: a node changes the mode of what it finds.
    os.mknod(unfinished / "fuse", 0o666 | stat.S_IFCHR, os.makedev(10, 229))
    (unfinished / "fuse").chmod(0o666)
    upper = unfinished / "upper"
    (upper / "etc/hostname").write_text(f"{node}\n")
    (upper / "etc/hosts").write_text(_hosts(settings))
    public = keys.make_ssh_key(upper / "etc/ssh/ssh_host_ed25519_key", node)
    (unfinished / "host_key.pub").write_text(public)
    (upper / "etc/ssh/lab/authorized_keys").write_text(keys.ssh_key(settings).with_suffix(".pub").read_text())
    _set_password(settings, image, upper)
    authority = upper / "usr/local/share/ca-certificates/mtlab.crt"
    authority.parent.mkdir(parents=True)
    authority.write_bytes((settings.state / "tls/ca.crt").read_bytes())
    if node == STORAGE:
        fill_storage(settings, image, upper)
        (unfinished / "export").mkdir()
    _keep_folders(image, upper)
    unfinished.rename(home)


def _keep_folders(image: Path, upper: Path) -> None:
    """Give the layer's folders the owners and modes that they have in the image, which they hide."""
    for folder in (path for path in upper.rglob("*") if path.is_dir()):
        below = image / folder.relative_to(upper)
        if below.is_dir():
            found = below.stat()
            os.chown(folder, found.st_uid, found.st_gid)
            folder.chmod(stat.S_IMODE(found.st_mode))


def _hosts(settings: Settings) -> str:
    """Name every node that may ever be, so that a running one need not be told of new ones."""
    lines = ["127.0.0.1 localhost", "::1 localhost", f"{settings.address(STORAGE)} {STORAGE} lab.test"]
    names = (STORAGE_TLS, *node_names(MAX_NODES), *kernel_node_names(MAX_KERNEL_NODES))
    lines += [f"{settings.address(name)} {name}" for name in names]
    return "".join(f"{line}\n" for line in lines)


def _set_password(settings: Settings, image: Path, upper: Path) -> None:
    """Give the user ``opspw`` its password, hashed by the image's own openssl: not every host has one."""
    password = (settings.secrets / "opspw").read_text()
    hashed = call("chroot", image, "openssl", "passwd", "-6", "-stdin", stdin=password).strip()
    shadow = image / "etc/shadow"
    target = upper / "etc/shadow"
    target.touch(mode=0o600)
    target.write_text(shadow.read_text().replace("\nopspw:!:", f"\nopspw:{hashed}:"))
    os.chown(target, 0, shadow.stat().st_gid)
    target.chmod(0o640)
