"""The SSH session against servers that hang, refuse or break in each phase."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import scripted_sshd as sshd

from mounttool.config import Fleet
from mounttool.deliver import fleet, openssh
from mounttool.deliver import shell as shells
from mounttool.deliver.ssh import SshSession
from mounttool.errors import HostError, InputError

#: For nothing that should happen: a test that waits so long has failed.
FAR_S = 60


def settings(keys: sshd.Keys, **changes: object) -> Fleet:
    known = {
        "key": str(keys.user), "known_hosts": str(keys.known_hosts), "ssh_config": "/dev/null",
        "connect_attempts": 1, "connect_timeout_s": FAR_S, "deadline_s": FAR_S, "keep_connections_s": 0,
    }  # fmt: skip
    return Fleet.model_validate({**known, **changes})


def test_scripts_run_one_after_another_on_one_connection(keys: sshd.Keys, node: int) -> None:
    session = SshSession(f"127.0.0.1:{node}", settings(keys))
    lines: list[str] = []

    first = session.run("echo one; echo two >&2; printf three; exit 7", on_line=lines.append)
    second = session.run("cat; echo $PPID")
    third = session.run("echo $PPID")
    session.close()

    assert (first.returncode, first.stdout, first.stderr) == (7, "one\nthree", "two\n")
    assert lines == ["one", "three"]
    assert second.stdout == third.stdout != ""


def test_a_script_that_no_shell_understands_is_its_own_failure(keys: sshd.Keys, node: int) -> None:
    session = SshSession(f"127.0.0.1:{node}", settings(keys))

    broken = session.run("echo 'never ends")
    after = session.run("echo well")
    session.close()

    assert broken.returncode != 0
    assert broken.stderr
    assert after.stdout == "well\n"


def test_a_script_of_some_megabytes_arrives_whole_and_so_does_what_it_says(keys: sshd.Keys, node: int) -> None:
    session = SshSession(f"127.0.0.1:{node}", settings(keys))

    done = session.run(": 'padding'\n" * 200_000 + "seq 100000; head -c 1000000 /dev/zero >&2")
    session.close()

    assert done.stdout.endswith("\n100000\n")
    assert len(done.stderr) == 1_000_000


def fails(port: int, fleet_settings: Fleet) -> tuple[HostError, float]:
    session = SshSession(f"127.0.0.1:{port}", fleet_settings)
    began = time.monotonic()
    with pytest.raises(HostError) as raised:
        session.run("echo")
    session.close()
    return raised.value, time.monotonic() - began


@pytest.mark.parametrize(
    ("greeting", "said"),
    [
        (b"", "it sends no SSH banner within the connect timeout"),
        (b"SSH-2.0-silent\r\n", "timeout"),
        (b"SSH-2.0-endless\r\n" + b"\0\0\0", "timeout"),
    ],
    ids=["no banner", "banner, then silence", "half a packet"],
)
def test_a_host_that_hangs_before_the_login_costs_the_connect_timeout(
    keys: sshd.Keys, greeting: bytes, said: str
) -> None:
    with sshd.tcp(greeting) as port:
        error, took_s = fails(port, settings(keys, connect_timeout_s=1))

    assert error.phase == "login"
    assert said in error.reason
    assert took_s < FAR_S / 2


def test_a_login_that_is_never_answered_costs_the_connect_timeout(keys: sshd.Keys, ports: dict[str, int]) -> None:
    error, took_s = fails(ports["hangs at login"], settings(keys, connect_timeout_s=1))

    assert (error.phase, took_s < FAR_S / 2) == ("login", True)
    assert "the key exchange and login do not come to an end" in error.reason


@pytest.mark.parametrize(("sudo", "phase"), [(True, "sudo"), (False, "login")])
def test_a_shell_that_never_starts_costs_the_connect_timeout(
    keys: sshd.Keys, ports: dict[str, int], *, sudo: bool, phase: str
) -> None:
    error, took_s = fails(ports["silent"], settings(keys, connect_timeout_s=1, sudo=sudo))

    assert (error.phase, took_s < FAR_S / 2) == (phase, True)
    assert "within the connect timeout of 1 s" in error.reason


def test_a_step_that_hangs_costs_the_deadline(keys: sshd.Keys, node: int) -> None:
    session = SshSession(f"127.0.0.1:{node}", settings(keys, deadline_s=2))
    began = time.monotonic()
    with pytest.raises(HostError, match="run: its deadline is over"):
        session.run("sleep 600")
    session.close()

    assert time.monotonic() - began < FAR_S / 2


def test_an_output_that_never_ends_fills_no_memory(
    keys: sshd.Keys, ports: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shells, "MOST_BYTES", 1 << 20)
    error, took_s = fails(ports["endless"], settings(keys))

    assert (error.phase, error.reason, took_s < FAR_S / 2) == ("run", "its output has no end", True)


def test_a_connection_that_breaks_in_a_step_is_told_and_the_next_script_opens_another(
    keys: sshd.Keys, node: int
) -> None:
    session = SshSession(f"127.0.0.1:{node}", settings(keys))
    with pytest.raises(HostError, match="run: the connection broke"):
        session.run("kill -9 $PPID")

    assert session.run("echo again").stdout == "again\n"
    session.close()


def test_after_ctrl_c_in_a_step_the_next_script_opens_another_connection(keys: sshd.Keys, node: int) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt(line)

    session = SshSession(f"127.0.0.1:{node}", settings(keys))
    with pytest.raises(KeyboardInterrupt):
        session.run("echo begun; sleep 60", on_line=interrupt)

    assert session.run("echo again").stdout == "again\n"
    session.close()


def test_a_host_that_hangs_costs_nothing_to_the_others(keys: sshd.Keys, node: int) -> None:
    with sshd.tcp(b"") as mute:
        hosts = [f"127.0.0.1:{mute}", *(f"127.0.0.{number}:{node}" for number in range(1, 2))]
        results = fleet.each(hosts, settings(keys, connect_timeout_s=1), lambda s: s.run("echo ok").stdout)

    assert [result.value for result in results] == [None, "ok\n"]
    assert isinstance(results[0].error, HostError)


def test_a_refused_connection_is_tried_again_until_the_node_is_there(keys: sshd.Keys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    refused, _ = fails(port, settings(keys, connect_attempts=2))
    assert (refused.phase, refused.reason) == ("connect", f"port {port} refuses the connection")

    def boot() -> None:
        # Not before the first attempt was refused, and in the second's second.
        time.sleep(0.5)
        with socket.create_server(("127.0.0.1", port)) as late:
            connection, _ = late.accept()
            connection.close()

    came = threading.Thread(target=boot)
    came.start()
    # It accepts now and hangs up: that the failure is another one shows that it was tried again.
    error, _ = fails(port, settings(keys, connect_attempts=2))
    came.join()

    assert (error.phase, error.reason) == ("login", "it closes the connection before the login")


def test_a_host_key_that_is_not_known_is_refused_and_a_new_one_accepted_on_demand(
    keys: sshd.Keys, node: int, tmp_path: Path
) -> None:
    empty = tmp_path / "known hosts %h"
    strict, _ = fails(node, settings(keys, known_hosts=str(empty)))
    session = SshSession(f"127.0.0.1:{node}", settings(keys, known_hosts=str(empty), host_keys="accept-new"))
    assert session.run("echo in").stdout == "in\n"
    session.close()
    sshd.Keys(tmp_path)
    empty.write_text((tmp_path / "known_hosts").read_text())
    changed, _ = fails(node, settings(keys, known_hosts=str(empty), host_keys="accept-new"))

    assert (strict.phase, strict.reason) == ("login", "its key is not in known_hosts")
    assert 'host_keys = "accept-new"' in strict.hint
    assert changed.reason == "the host's key is not the one in known_hosts"


def test_a_user_whose_key_is_not_authorised_is_refused_by_name(keys: sshd.Keys, node: int, tmp_path: Path) -> None:
    stranger = sshd.Keys(tmp_path)
    error, _ = fails(node, settings(keys, key=str(stranger.user), user="somebody"))

    assert (error.phase, error.reason) == ("login", "refused for user somebody")


def test_a_jump_host_is_held_to_the_same_checks(keys: sshd.Keys, node: int, tmp_path: Path) -> None:
    jump = f"127.0.0.1:{node}"
    error, _ = fails(node, settings(keys, jump=jump, known_hosts=str(tmp_path / "none")))

    assert error.phase == "login"
    assert "key is not in known_hosts" in error.reason


def test_without_ssh_it_is_said_what_to_install(keys: sshd.Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(InputError, match="OpenSSH's client"):
        SshSession("node1", settings(keys)).run("echo")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("node1", ["-l", "ops", "-p", "2200", "--", "node1"]),
        ("root@node1", ["-l", "root", "-p", "2200", "--", "node1"]),
        ("a@b@node1:22", ["-l", "a@b", "-p", "22", "--", "node1"]),
        ("10.0.0.1:22", ["-l", "ops", "-p", "22", "--", "10.0.0.1"]),
        ("fe80::1%eth0", ["-l", "ops", "-p", "2200", "--", "fe80::1%eth0"]),
        ("[fe80::1]:22", ["-l", "ops", "-p", "22", "--", "fe80::1"]),
        ("-oProxyCommand=x", ["-l", "ops", "-p", "2200", "--", "-oProxyCommand=x"]),
    ],
)
def test_a_host_may_carry_its_user_and_port(host: str, words: list[str]) -> None:
    argv = openssh.argv(host, Fleet(user="ops", port=2200), 1, "true")

    assert argv[-len(words) - 1 : -1] == words


_INTERRUPTED = """
import sys
from mounttool.config import Fleet
from mounttool.deliver import fleet

def work(session):
    print("begun", flush=True)
    session.run("echo")

try:
    fleet.each([sys.argv[1], "never-begun"], Fleet(connect_timeout_s=600, parallelism=1), work)
except fleet.StoppedError as error:
    print(error.message)
"""


def test_ctrl_c_ends_a_session_that_hangs_and_says_how_far_each_host_was() -> None:
    with sshd.tcp(b"") as port:
        host = f"127.0.0.1:{port}"
        argv = [sys.executable, "-c", _INTERRUPTED, host]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
            assert program.stdout
            assert program.stdout.readline() == "begun\n"
            program.send_signal(signal.SIGINT)
            said, errors = program.communicate(timeout=FAR_S)

    assert said.strip() == f"interrupted; cut off: {host}; not begun: never-begun"
    assert errors == ""
