"""Simulated SSH hosts: real handshakes and logins by asyncssh on every address of 127.0.0.0/8, answers that are canned.

A login gets a shell that runs nothing. It reads the scripts that mounttool sends and answers the first kind with the
facts of a node, the second with the lines of a node that has nothing to do. ``python simulated_hosts.py KEYS PORT``.
"""

from __future__ import annotations

import asyncio
import re
import resource
import sys
from pathlib import Path

import asyncssh

_MARK = re.compile(rb"printf '([0-9a-f]{16}) %s")
_FACTS = (
    b"distribution=debian\nversion=13\nlike=\nmachine=x86_64\nkernel=6.12\nhostname=simulated\ncpus=8\n"
    b"memory_kib=33554432\nfuse=1\nsystemd=1\nuser=0\n"
)
_STEPS = b"".join(b"mounttool\tstep\tok\t%d\tstep %d of a node with nothing to do\t\n" % (n, n) for n in range(1, 14))
_RUN = b"mounttool\tbegin\tcheckpoints\t000000000000\n" + _STEPS + b"mounttool\tend\tcheckpoints\t0\n"


async def _shell(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Answer script by script, until there is no more."""
    if process.command == "true":
        process.exit(0)
        return
    process.stdout.write(b"mounttool-shell-started\n")
    text = b""
    while data := await process.stdin.read(65536):
        text += data
        # The mark comes once in a script's last line.
        while (found := _MARK.search(text)) and (end := text.find(b"\n", text.find(b">&2", found.end()))) > 0:
            answer = _FACTS if b"/etc/os-release" in text[: found.start()] else _RUN
            process.stdout.write(answer + found[1] + b" 0\n")
            process.stderr.write(found[1] + b"\n")
            text = text[end + 1 :]
    process.exit(0)


class _Host(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        del username
        return True


async def _serve(keys: Path, port: int) -> None:
    await asyncssh.create_server(
        _Host, "0.0.0.0", port, reuse_port=True, backlog=1024,  # noqa: S104 - all of 127.0.0.0/8; the key is ours alone
        server_host_keys=[keys / "host"], authorized_client_keys=str(keys / "id.pub"),
        process_factory=_shell, encoding=None, keepalive_interval=0, login_timeout=600,
    )  # fmt: skip
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
