"""Logins to many hosts with one library each: what mounttool's way was chosen among. ``python clients.py WAY ...``."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import subprocess
import sys


def ssh(hosts: list[str], port: str, keys: str, at_once: int) -> None:
    """OpenSSH's client, a process for each login."""
    options = ["-F", f"{keys}/ssh_config", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={keys}/known_hosts"]

    def one(host: str) -> None:
        argv = ["ssh", *options, "-i", f"{keys}/id", "-p", port, "-l", "ops", host, "true"]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, hosts))


def paramiko(hosts: list[str], port: str, keys: str, at_once: int) -> None:
    """Paramiko, which Fabric and pyinfra carry everything by: threads of one process."""
    import paramiko as library  # noqa: PLC0415 - only one library is to be measured

    with open(f"{keys}/host.pub", encoding="ascii") as file:  # noqa: PTH123 - paths are words of the command line
        key = library.PKey.from_type_string("ssh-ed25519", base64.b64decode(file.read().split()[1]))

    def one(host: str) -> None:
        with library.SSHClient() as client:
            # It knows no patterns, and reading a file with a line for each host would take it longer than all else.
            client.get_host_keys().add(f"[{host}]:{port}", "ssh-ed25519", key)
            client.connect(host, int(port), "ops", key_filename=f"{keys}/id", allow_agent=False, look_for_keys=False)
            client.exec_command("true")[1].channel.recv_exit_status()

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, hosts))


def asyncssh(hosts: list[str], port: str, keys: str, at_once: int) -> None:
    """asyncssh: one thread."""
    import asyncssh as library  # noqa: PLC0415 - only one library is to be measured

    async def all_of_them() -> None:
        turn = asyncio.Semaphore(at_once)
        known = library.read_known_hosts(f"{keys}/known_hosts")

        async def one(host: str) -> None:
            async with (
                turn,
                library.connect(
                    host, int(port), username="ops", client_keys=[f"{keys}/id"], known_hosts=known, config=None
                ) as connection,
            ):
                await connection.run("true", check=True)

        await asyncio.gather(*map(one, hosts))

    asyncio.run(all_of_them())


if __name__ == "__main__":
    way, count, port_text, folder, limit = sys.argv[1:]
    addresses = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(int(count))]
    {"ssh": ssh, "paramiko": paramiko, "asyncssh": asyncssh}[way](addresses, port_text, folder, int(limit))
