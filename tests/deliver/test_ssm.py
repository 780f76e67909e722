from __future__ import annotations

import random
import subprocess

import pytest
from core_examples import NODES, declared, mount

from mounttool import node as nodes
from mounttool.aws import run_command
from mounttool.deliver import document, ssm
from mounttool.deliver.ssm import Invocation
from mounttool.errors import ConfigError, InputError
from mounttool.render import Intent

PLAN = declared("local").plan(NODES["al2023-amd64"])
OK = f"mounttool\tbegin\tdata\t{PLAN.digest}\nmounttool\tstep\tok\t1\tdirectory /x\t\nmounttool\tend\tdata\t0\n"


def test_what_fits_is_sent_as_it_is() -> None:
    script = document.script("x", [declared("local")], nodes.declare("al2023-amd64"), Intent())
    assert ssm.command(script) == script


def incompressible(length: int) -> str:
    return ": " + "".join(random.Random(1).choices("abcdefghijklmnop", k=length)) + "\n"  # noqa: S311 - no secret


@pytest.mark.parametrize("script", [f"echo yes; exit 7\n{': ' * 40_000}\n", "echo yes; exit 7 # {{ ssm:x }}\n"])
@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_what_is_too_long_or_would_be_filled_in_by_ssm_is_packed_and_runs_the_same(shell: str, script: str) -> None:
    command = ssm.command(script)
    assert len(command) < ssm.LIMIT_BYTES
    assert "{{" not in command
    assert command == ssm.command(script)
    done = subprocess.run([shell], input=command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "yes\n", "")


def test_what_is_too_long_even_then_is_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match=r"the script has \d+ bytes when compressed: SSM takes 60000 .*--name"):
        ssm.command(incompressible(200_000))


def test_a_secret_of_this_machine_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ConfigError, match=r"mount\.checkpoints\.metadata_password.*ssm:NAME or secretsmanager:NAME"):
        document.script("mounttool.toml", [mount()], nodes.declare("al2023-amd64"), Intent())


def test_an_answer_is_read_as_one_over_ssh_is() -> None:
    result = ssm.result(Invocation("i-1", "Success", OK), [PLAN])
    assert (result.host, result.error) == ("i-1", None)
    assert [(outcome.name, outcome.status) for outcome in result.value or []] == [("data", "ok")]
    failed = OK.replace("step\tok", "step\tfailed").replace("\t0\n", "\t1\n")
    result = ssm.result(Invocation("i-1", "Failed", failed), [PLAN])
    assert [outcome.status for outcome in result.value or []] == ["failed"]


@pytest.mark.parametrize(
    ("status", "stdout", "stderr", "said"),
    [
        ("Undeliverable", "", "", "i-1: connect: SSM cannot deliver the command"),
        ("Delivery Timed Out", "", "", "i-1: connect: its agent did not take the command in time"),
        ("DeliveryTimedOut", "", "", "i-1: connect: its agent did not take the command in time"),
        ("ExecutionTimedOut", OK, "", "i-1: run: its deadline is over (see --timeout"),
        ("Terminated", "", "", "i-1: run: not begun: more nodes failed than --max-errors allows"),
        ("Cancelled", "", "", "i-1: run: cancelled before it was done"),
        ("InvalidPlatform", "", "", "i-1: run: SSM says: InvalidPlatform"),
        ("Failed", "", "sh: gzip: not\nfound\n", "i-1: run: sh: gzip: not found"),
        ("Success", "", "", "i-1: run: the script said nothing"),
        ("Failed", "mounttool\tfatal\tthis script is for another node\n", "", "i-1: run: this script is for another"),
        ("Success", OK.replace("end", "warning") + "x" * 24_000, "", "i-1: run: its output is longer than the 24000"),
    ],
)
def test_a_node_on_which_it_did_not_come_to_its_end_says_why(status: str, stdout: str, stderr: str, said: str) -> None:
    result = ssm.result(Invocation("i-1", status, stdout, stderr), [PLAN])
    assert result.value is None
    assert str(result.error).startswith(said)


def test_targets_are_tags_or_ids() -> None:
    both = run_command.parse_targets("tag:Role=worker, tag:Env=prod,tag:Env=stage,tag:aws:x:y=a=b")
    assert both.tags == {"Role": ("worker",), "Env": ("prod", "stage"), "aws:x:y": ("a=b",)}
    assert run_command.parse_targets("i-0123456789abcdef0,mi-0123456789abcdef0").instances == (
        "i-0123456789abcdef0",
        "mi-0123456789abcdef0",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "--targets '': expected tag:KEY=VALUE"),
        ("worker", "--targets 'worker': expected tag:KEY=VALUE"),
        ("tag:Role", "--targets 'tag:Role': expected"),
        ("tag:=x", "--targets 'tag:=x': expected"),
        ("i-0123456789abcdef0,tag:a=b", "--targets 'i-0123456789abcdef0': expected"),
        (",".join(f"tag:{key}=x" for key in "abcdef"), "--targets: 6 tags: SSM takes at most 5"),
        (",".join(f"i-{number:08x}" for number in range(51)), "--targets: 51 ids: SSM takes at most 50"),
    ],
)
def test_other_targets_are_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        run_command.parse_targets(text)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (("0", "0", 600), "--max-concurrency '0': expected a number from 1 on, or a percentage"),
        (("101%", "0", 600), "--max-concurrency '101%'"),
        (("50", "-1", 600), "--max-errors '-1': expected a number from 0 on"),
        (("50", "1", 0), "--timeout 0: expected 1 to 172800 seconds"),
        (("50", "1", 200_000), "--timeout 200000: expected"),
    ],
)
def test_limits_that_ssm_would_not_take_are_refused(limits: tuple[str, str, float], said: str) -> None:
    with pytest.raises(InputError) as caught:
        run_command.parse_limits(*limits)
    assert str(caught.value).startswith(said)
