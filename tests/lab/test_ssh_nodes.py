"""The SSH session on a real sshd: what a script can do to it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from mounttool import lab
from mounttool.config import Fleet
from mounttool.deliver import kept
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


def login(site: Site) -> str:
    """Log in as a command of its own does; what tells its connection from others."""
    fleet = Fleet(user="root", ssh_config=str(site.lab.ssh_config), deadline_s=60)
    session = SshSession("node1", fleet)
    try:
        return session.run("echo $SSH_CONNECTION").stdout
    finally:
        session.close()


def test_the_next_command_uses_the_connection_of_the_one_before(site: Site) -> None:
    first = login(site)

    assert first
    assert login(site) == first


@pytest.mark.parametrize("event", ["reboot", "powercut"])
def test_a_node_that_was_away_is_logged_in_to_anew(site: Site, event: str) -> None:
    before = login(site)
    {"reboot": lab.reboot, "powercut": lab.powercut}[event]("node1")

    after = login(site)
    assert after
    assert after != before


def test_what_sudo_refuses_is_told_alike_over_a_kept_connection(site: Site) -> None:
    fleet = Fleet(user="nosudo", sudo=True, ssh_config=str(site.lab.ssh_config), deadline_s=60)

    def said() -> str:
        session = SshSession("node1", fleet)
        try:
            session.run("true")
        except HostError as error:
            return str(error)
        finally:
            session.close()
        return ""

    first = said()
    assert first.startswith("node1: sudo: ")
    assert said() == first


def test_giving_up_a_kept_connection_cuts_off_nobody(site: Site) -> None:
    fleet = Fleet(user="root", ssh_config=str(site.lab.ssh_config), deadline_s=60)
    session = SshSession("node1", fleet)
    session.run("true")
    path = kept.socket("node1", fleet)
    assert path
    kept.forget(path)

    assert session.run("echo still here").stdout == "still here\n"
    assert login(site) != session.run("echo $SSH_CONNECTION").stdout
    session.close()
