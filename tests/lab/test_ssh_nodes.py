"""The SSH session on a real sshd: what a script can do to it."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from mounttool.config import Fleet
from mounttool.deliver.ssh import SshSession
from mounttool.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Site

pytestmark = pytest.mark.lab


@pytest.fixture
def session(site: Site) -> Iterator[SshSession]:
    fleet = Fleet(user="ops", sudo=True, ssh_config=str(site.lab.ssh_config), deadline_s=60)
    opened = SshSession("node1", fleet)
    yield opened
    opened.close()


def test_a_script_that_hangs_costs_its_time_limit_and_not_the_session(session: SshSession) -> None:
    began = time.monotonic()
    with pytest.raises(HostError, match="node1: run: its deadline is over"):
        session.run("sleep 30", timeout_s=1)

    assert time.monotonic() - began < 5
    assert session.run("echo still here").stdout == "still here\n"


def test_a_flood_on_both_outputs_arrives_whole(session: SshSession) -> None:
    completed = session.run("head -c 6000000 /dev/zero | tr '\\0' e >&2; seq 500000", timeout_s=50)

    assert len(completed.stderr) == 6_000_000
    assert completed.stdout.splitlines()[-1] == "500000"


def test_the_status_of_a_script_and_lines_as_they_come_are_returned(session: SshSession) -> None:
    seen: list[tuple[str, float]] = []
    completed = session.run(
        "echo a; sleep 1; echo b; exit 7", on_line=lambda line: seen.append((line, time.monotonic()))
    )

    assert completed.returncode == 7
    assert [line for line, _ in seen] == ["a", "b"]
    assert seen[1][1] - seen[0][1] > 0.5


def test_a_script_larger_than_a_window_is_run_whole(session: SshSession) -> None:
    script = "main() {\n" + ": 'padding padding padding padding padding'\n" * 100_000 + "echo end\n}\nmain </dev/null\n"

    assert session.run(script, timeout_s=50).stdout == "end\n"


def test_a_connection_that_breaks_is_told_as_such(session: SshSession) -> None:
    with pytest.raises(HostError, match="node1: run: the connection broke"):
        session.run("pkill -9 -f 'sshd-session: ops'; sleep 5", timeout_s=20)


def test_a_node_is_reached_through_a_jump_host_and_only_through_it(site: Site) -> None:
    # A name that only node2 can resolve: going there directly would fail.
    address = site.sh("node1", "hostname -I").split()[0]
    site.sh("node2", f"echo {address} behind >>/etc/hosts")
    text = site.lab.ssh_config.read_text()
    (site.folder / "jump_config").write_text(
        f"Host behind\n    HostKeyAlias node1\n\n{text}".replace("Host node1 ", "Host behind node1 ")
    )
    settings = {"user": "ops", "sudo": True, "ssh_config": str(site.folder / "jump_config"), "connect_attempts": 1}
    there = SshSession("behind", Fleet(jump="ops@node2", **settings))
    nowhere = SshSession("behind", Fleet(jump="ops@node2:1", **settings))
    direct = SshSession("behind", Fleet(**settings))

    assert there.run("hostname; id -un").stdout.split() == ["node1", "root"]
    there.close()
    with pytest.raises(HostError, match=r"behind: connect: .*port 1 refuses the connection"):
        nowhere.run("true")
    with pytest.raises(HostError, match="behind: connect: the name behind cannot be resolved"):
        direct.run("true")


def test_a_key_that_only_the_agent_has_lets_in(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    text = site.lab.ssh_config.read_text()
    lines = [line for line in text.splitlines() if "IdentityFile" not in line and "IdentitiesOnly" not in line]
    (site.folder / "agent_config").write_text("\n".join(lines) + "\n")
    fleet = Fleet(user="ops", sudo=True, ssh_config=str(site.folder / "agent_config"))
    key = next(line.split()[1] for line in text.splitlines() if "IdentityFile" in line)
    socket = site.folder / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as agent:
        try:
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            refused = SshSession("node1", fleet)
            with pytest.raises(HostError, match="node1: login: refused for user ops"):
                refused.run("true")
            subprocess.run(["ssh-add", "-q", key], check=True)
            session = SshSession("node1", fleet)
            assert session.run("id -un").stdout == "root\n"
            session.close()
        finally:
            agent.terminate()
