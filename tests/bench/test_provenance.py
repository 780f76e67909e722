from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from local_session import LocalSession

from mounttool.bench.provenance import facts, network_gbps
from mounttool.errors import HostError

Stubs = Callable[[str, str], Path]


def test_facts_say_what_a_reader_of_results_wants_to_know(session: LocalSession) -> None:
    found = facts(session, timeout_s=30)

    assert (found.host, found.az) == ("node1", "")
    assert found.kernel
    assert found.memory_bytes > 2**20
    assert found.cpus > 0
    assert found.python.startswith("3.")


def test_an_instance_of_ec2_is_asked_for_its_type_and_zone(stubs: Stubs) -> None:
    stubs(
        "cat",
        'case $1 in */sys_vendor) echo Amazon EC2 ;; */product_name) echo m6i.metal ;; *) exec /bin/cat "$@" ;; esac',
    )
    path = stubs(
        "curl",
        'case "$*" in *PUT*) echo a-token ;;\n'
        '*) [ "$(/bin/cat)" = \'header = "X-aws-ec2-metadata-token: a-token"\' ] || exit 22\n'
        '   case "$*" in */instance-type) echo m6i.large ;; *zone) echo us-east-1a ;; esac ;;\nesac',
    )
    found = facts(LocalSession("node1", path), timeout_s=30)

    assert (found.instance_type, found.az) == ("m6i.large", "us-east-1a")


def test_elsewhere_the_metadata_s_address_is_left_alone(stubs: Stubs, tmp_path: Path) -> None:
    stubs("cat", "case $1 in */sys_vendor) echo QEMU ;; */product_name) echo Standard PC ;; esac")
    path = stubs("curl", f"touch {tmp_path}/asked")
    found = facts(LocalSession("node1", path), timeout_s=30)

    assert (found.instance_type, found.az) == ("Standard PC", "")
    assert not (tmp_path / "asked").exists()


def test_a_node_that_says_nothing_of_use_is_told(stubs: Stubs) -> None:
    with pytest.raises(HostError, match="said something else than its facts"):
        facts(LocalSession("node1", stubs("uname", "echo")), timeout_s=30)


def test_the_network_between_nodes_is_measured(stubs: Stubs) -> None:
    here = stubs("hostname", "echo 127.0.0.1")
    gbps = network_gbps(LocalSession("node1", here), LocalSession("node2", here))

    assert gbps is not None
    assert gbps > 0.01


def test_a_network_without_a_way_is_not_known(stubs: Stubs) -> None:
    # An address for documentation: nothing answers there.
    nowhere = stubs("hostname", "echo 127.0.0.1")
    stubs("python3", "exit 1")

    assert network_gbps(LocalSession("node1", nowhere), LocalSession("node2", nowhere)) is None
