from __future__ import annotations

import pytest
from conditions import JFS, trial

from mounttool.bench.placement import Placement, place
from mounttool.bench.target import baseline
from mounttool.deliver.local import LocalSession


def nodes(count: int) -> list[LocalSession]:
    found = []
    for number in range(count):
        session = LocalSession()
        session.host = f"node{number}"
        found.append(session)
    return found


def who(placed: Placement) -> tuple[list[tuple[str, list[int]]], list[list[tuple[str, list[int]]]]]:
    writing, *rounds = [
        [(share.session.host, [work.rank for work in share.works]) for share in shares]
        for shares in (placed.writing, *placed.rounds)
    ]
    return writing, rounds


def test_one_node_writes_and_the_next_restores_and_they_take_turns() -> None:
    for block, writer, reader in ((0, "node0", "node1"), (1, "node1", "node2"), (2, "node2", "node0")):
        placed = place(JFS, nodes(3), trial(block=block))

        assert who(placed) == ([(writer, [0, 1])], [[(reader, [0, 1])]])
        assert not placed.on_one_node


def test_a_gang_writes_at_once_and_each_restores_its_neighbour_s() -> None:
    placed = place(JFS, nodes(3), trial("gang", ranks=6, block=0))

    assert who(placed) == (
        [("node0", [0, 1]), ("node1", [2, 3]), ("node2", [4, 5])],
        [[("node1", [0, 1]), ("node2", [2, 3]), ("node0", [4, 5])]],
    )


def test_every_other_node_restores_in_turn_where_the_workload_says_so() -> None:
    placed = place(JFS, nodes(3), trial("restore-cold-remote", ranks=1, block=1))

    assert who(placed) == ([("node1", [0])], [[("node2", [0])], [("node0", [0])]])


def test_a_node_s_own_disk_is_read_where_it_was_written() -> None:
    placed = place(baseline("/scratch"), nodes(2), trial(ranks=1))

    assert who(placed) == ([("node1", [0])], [[("node1", [0])]])
    assert not placed.on_one_node


@pytest.mark.parametrize("name", ["criu-full", "gang", "restore-cold-remote"])
def test_with_a_single_node_nothing_of_a_shared_mount_can_be_proven(name: str) -> None:
    assert place(JFS, nodes(1), trial(name)).on_one_node


def test_each_trial_has_a_directory_of_its_own_on_the_target() -> None:
    assert place(JFS, nodes(2), trial(block=4)).writing[0].directory == "/mnt/jfs/mounttool-bench-r1-4"
