"""fio's client and servers: what a server leaves behind, and who is named when one fails."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_session import LocalSession

from mounttool.bench import servers
from mounttool.bench.node import Workplace
from mounttool.bench.server_on_node import mark, processes
from mounttool.errors import StepError
from mounttool.session import Completed, Conversation

DATA = Path(__file__).parent / "data" / "fio"
FAR_S = 30


def soon() -> float:
    return time.monotonic() + FAR_S


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Conversation]:
    found = LocalSession("node1").converse(servers._PROGRAM + servers._MAIN)
    found.send(json.dumps({"directory": str(tmp_path), "limit_s": FAR_S}))
    yield found
    found.close()


def comes(what: Callable[[], bool]) -> bool:
    until = soon()
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.usefixtures("needs_fio")
def test_a_server_is_there_for_its_user_alone_and_goes_when_it_is_told_to(talk: Conversation) -> None:
    told = json.loads(talk.receive(soon()))
    folder = Path(told["folder"])
    assert (told["event"], Path(told["socket"]).parent) == ("ready", folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert processes(mark(str(folder)))

    talk.send("end")

    assert json.loads(talk.receive(soon()))["event"] == "end"
    assert not folder.exists()
    assert processes(mark(str(folder))) == []


@pytest.mark.usefixtures("needs_fio")
def test_a_server_whose_caller_is_gone_goes_too(talk: Conversation) -> None:
    folder = Path(json.loads(talk.receive(soon()))["folder"])

    talk.close()

    assert comes(lambda: not folder.exists())
    assert processes(mark(str(folder))) == []


@pytest.mark.usefixtures("needs_fio")
def test_a_server_that_nobody_ends_ends_with_its_time(tmp_path: Path) -> None:
    talk = LocalSession("node1").converse(servers._PROGRAM + servers._MAIN)
    talk.send(json.dumps({"directory": str(tmp_path), "limit_s": 0.1}))

    assert [json.loads(talk.receive(soon()))["event"] for _ in range(2)] == ["ready", "end"]
    talk.close()


@pytest.mark.usefixtures("needs_fio")
def test_a_client_whose_servers_are_gone_is_told_as_such(tmp_path: Path) -> None:
    places = [Workplace(LocalSession(host), str(tmp_path), FAR_S) for host in ("node1", "node2")]
    job = "[lost]\nrw=write\nsize=1m\ndirectory=/nowhere\n"

    with pytest.raises(StepError, match=r"node1: fio: its client ended with status .* and no results"):
        servers.run(places, [job, job])


def printed(version: str, name: str) -> str:
    return gzip.decompress((DATA / version / f"{name}.json.gz").read_bytes()).decode()


def reached_at(*addresses: str) -> list[servers._Server]:
    found = []
    for number, address in enumerate(addresses, 1):
        server = servers._Server(Workplace(LocalSession(f"node{number}"), "/nowhere", FAR_S))
        server.address = address
        found.append(server)
    return found


@pytest.mark.parametrize("version", ["3.28", "3.33", "3.39", "3.42"])
def test_the_node_whose_rank_failed_is_named_with_the_reason(version: str) -> None:
    done = Completed(1, printed(version, "clients_full_json"), "")

    with pytest.raises(StepError, match="node2: fio: fio: No space left on device"):
        servers._check(done, reached_at("127.0.0.2", "127.0.0.3"))


@pytest.mark.parametrize("version", ["3.28", "3.33", "3.39", "3.42"])
def test_a_node_that_is_missing_is_named_though_fio_says_that_all_is_well(version: str) -> None:
    done = Completed(0, printed(version, "clients_write_jsonplus"), "fio: connect; No such file or directory")
    servers._check(done, reached_at("127.0.0.2", "127.0.0.3"))

    with pytest.raises(StepError, match="node3: fio: its server or the connection was lost") as raised:
        servers._check(done, reached_at("127.0.0.2", "127.0.0.3", "127.0.0.4"))
    assert raised.value.last_lines[0] == "fio: connect; No such file or directory"
