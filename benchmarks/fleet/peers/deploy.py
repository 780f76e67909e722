"""The mount of desired.json, as people write it for pyinfra."""

import io
import json
import os
from pathlib import Path

from pyinfra.operations import apt, files, server, systemd

desired = json.loads(Path(os.environ["DESIRED"]).read_text())
release, inside, link = desired["release"], desired["inside"], desired["link"]

apt.packages(name="Packages", packages=desired["packages"], _sudo=True)
archive = files.download(
    name="Client's archive", src=release["url"], dest=release["archive"], sha256sum=release["sha256"], _sudo=True
)
folder = str(Path(release["path"]).parent)
unpack = f"tar -xzf {release['archive']} -C {folder} --no-same-owner {release['member']}"
server.shell(name="Client", commands=[unpack], _sudo=True, _if=archive.did_change)
files.directory(name="Directory of the configuration", path=desired["directory"], mode="755", _sudo=True)
changes = [
    files.put(
        name=file["path"],
        src=io.StringIO(file["content"]),
        dest=file["path"],
        mode=file["mode"].removeprefix("0"),
        _sudo=True,
    )
    for file in desired["files"]
]
files.directory(name="Mount point", path=desired["mount_point"], _sudo=True)
# Before it is looked whether it runs: it shall not be started twice.
systemd.service(
    name="Unit restarted",
    service=desired["unit"],
    restarted=True,
    daemon_reload=True,
    _sudo=True,
    _if=lambda: any(change.did_change() for change in changes),
)
systemd.service(name="Unit enabled and started", service=desired["unit"], running=True, enabled=True, _sudo=True)
files.directory(name="Directory inside", path=inside["path"], mode=inside["mode"].removeprefix("0"), _sudo=True)
files.link(name="Link", path=link["path"], target=link["target"], _sudo=True)
