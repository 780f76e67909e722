"""Run Command: moto takes the request; botocore's Stubber, which checks shapes, gives the answers that moto lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from mounttool.aws import run_command
from mounttool.aws.run_command import Limits, RunCommand, StoppedCommandError, Targets
from mounttool.deliver.ssm import Invocation
from mounttool.errors import AwsError, InputError

COMMAND = "c0ffee00-0000-4000-8000-000000000000"
ONE, TWO, THREE = (f"i-0123456789abcdef{number}" for number in range(3))
LIMITS = Limits()
TAGGED = Targets(tags={"Role": ("worker", "spare"), "Env": ("prod",)})


@pytest.mark.usefixtures("aws")
def test_moto_takes_the_request_for_ids_and_for_tags() -> None:
    client = boto3.client("ssm")
    ec2 = boto3.client("ec2")
    (made,) = ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"]
    ec2.create_tags(Resources=[made["InstanceId"]], Tags=[{"Key": "Role", "Value": "worker"}])
    runner = RunCommand(client, boto3.client("s3"), bucket="outputs")
    for targets in (Targets((made["InstanceId"],)), Targets(tags={"Role": ("worker",)})):
        request = runner._request("echo hi", targets, Limits("10%", "3", 900), "x" * 300)
        sent = client.send_command(**request)["Command"]
        got = client.get_command_invocation(CommandId=sent["CommandId"], InstanceId=made["InstanceId"])
        assert (sent["DocumentName"], sent["MaxConcurrency"], sent["MaxErrors"]) == ("AWS-RunShellScript", "10%", "3")
        assert sent["Parameters"] == {"commands": ["echo hi"], "executionTimeout": ["900"]}
        assert (sent["OutputS3BucketName"], sent["OutputS3KeyPrefix"]) == ("outputs", "mounttool")
        assert got["Status"] == "Success"


class Script:
    """What SSM answers, call by call; botocore checks each request and each answer against the service's model."""

    def __init__(self, stub: Stubber) -> None:
        self.stub = stub
        self.paused: list[float] = []

    def sent(self, **expected: Any) -> None:
        names = ("DocumentName", "Comment", "Parameters", "TimeoutSeconds", "MaxConcurrency", "MaxErrors")
        asked = {**dict.fromkeys(names, ANY), **expected}
        self.stub.add_response("send_command", {"Command": {"CommandId": COMMAND}}, asked)

    def state(self, status: str, done: int, of: int) -> None:
        command = {"CommandId": COMMAND, "Status": status, "CompletedCount": done, "TargetCount": of}
        self.stub.add_response("list_commands", {"Commands": [command]}, {"CommandId": COMMAND})

    def listed(self, *pages: list[str]) -> None:
        for number, page in enumerate(pages):
            answer: dict[str, Any] = {"CommandInvocations": [{"InstanceId": instance} for instance in page]}
            if number + 1 < len(pages):
                answer["NextToken"] = str(number)
            asked = {"CommandId": COMMAND, **({"NextToken": str(number - 1)} if number else {})}
            self.stub.add_response("list_command_invocations", answer, asked)

    def answered(self, instance: str, status: str, stdout: str = "", stderr: str = "") -> None:
        answer = {"StatusDetails": status, "StandardOutputContent": stdout, "StandardErrorContent": stderr}
        asked = {"CommandId": COMMAND, "InstanceId": instance}
        self.stub.add_response("get_command_invocation", answer, asked)


@pytest.fixture
def script() -> Iterator[Script]:
    with Stubber(boto3.client("ssm")) as stub:
        yield Script(stub)
        stub.assert_no_pending_responses()


def run(
    script: Script, targets: Targets = TAGGED, bucket: str | None = None, s3: Any = None, limits: Limits = LIMITS
) -> tuple[list[Invocation], list[tuple[str, int, int]]]:
    heard: list[tuple[str, int, int]] = []
    runner = RunCommand(script.stub.client, s3, bucket=bucket, pause=script.paused.append)
    found = runner.run(
        "echo hi", targets, limits, "mount", lambda identity, done, of: heard.append((identity, done, of))
    )
    return found, heard


def test_every_node_s_answer_comes_back_when_the_last_is_done(script: Script) -> None:
    targets = [{"Key": "tag:Role", "Values": ("worker", "spare")}, {"Key": "tag:Env", "Values": ("prod",)}]
    script.sent(Targets=targets)
    # AWS looks for the nodes of a tag after it has answered.
    script.stub.add_response("list_commands", {"Commands": []}, {"CommandId": COMMAND})
    script.state("Pending", 0, 0)
    script.state("InProgress", 1, 3)
    script.state("InProgress", 1, 3)
    script.state("Failed", 3, 3)
    script.listed([TWO, ONE], [THREE])
    script.answered(ONE, "Success", "one")
    script.answered(TWO, "Failed", "two", "error")
    script.answered(THREE, "DeliveryTimedOut")

    found, heard = run(script)

    assert found == [
        Invocation(ONE, "Success", "one", ""),
        Invocation(TWO, "Failed", "two", "error"),
        Invocation(THREE, "DeliveryTimedOut", "", ""),
    ]
    assert heard == [(COMMAND, 0, 0), (COMMAND, 1, 3), (COMMAND, 3, 3)]
    assert script.paused == sorted(script.paused)
    assert script.paused[0] == 1


def test_nodes_that_are_at_work_when_too_many_have_failed_are_waited_for(script: Script) -> None:
    script.sent(Targets=ANY)
    script.state("Failed", 1, 2)
    script.state("Failed", 2, 2)
    script.listed([ONE, TWO])
    script.answered(ONE, "Failed")
    script.answered(TWO, "Success", "two")
    found, _ = run(script)
    assert [one.status for one in found] == ["Failed", "Success"]


def test_but_not_for_longer_than_the_script_may_take(script: Script) -> None:
    script.sent(Targets=ANY)
    for _ in range(4):
        script.state("Failed", 1, 2)
    script.listed([ONE])
    script.answered(ONE, "InProgress")
    found, _ = run(script, limits=Limits(timeout_s=5))
    assert [one.status for one in found] == ["InProgress"]
    assert 5 <= sum(script.paused) < 10


def test_it_asks_less_often_the_longer_it_takes(script: Script) -> None:
    script.sent(InstanceIds=(ONE,))
    for _ in range(20):
        script.state("InProgress", 0, 1)
    script.state("Success", 1, 1)
    script.listed([ONE])
    script.answered(ONE, "Success", "one")
    run(script, Targets((ONE,)))
    assert max(script.paused) == script.paused[-1] == 10


def test_no_node_that_fits_is_the_user_s_error(script: Script) -> None:
    script.sent(Targets=ANY)
    script.state("Success", 0, 0)
    script.listed([])
    with pytest.raises(InputError, match="--targets: no node that SSM manages fits"):
        run(script)


def test_what_aws_refuses_is_one_line(script: Script) -> None:
    script.stub.add_client_error("send_command", "InvalidInstanceId", "Instances not in a valid state for account\n")
    with pytest.raises(AwsError, match=r"^AWS: SendCommand: InvalidInstanceId: Instances not in a valid state"):
        run(script)


def test_ctrl_c_cancels_the_command_and_says_so(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    script.sent(Targets=ANY)
    script.stub.add_response("cancel_command", {}, {"CommandId": COMMAND})

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "paused", type("Pause", (), {"append": staticmethod(interrupted)}))
    with pytest.raises(StoppedCommandError, match=f"SSM command {COMMAND} is cancelled") as caught:
        run(script)
    assert caught.value.exit_code == 130


@pytest.fixture
def bucket(aws: None) -> Any:  # noqa: ARG001 - its client is made in there
    client = boto3.client("s3")
    client.create_bucket(Bucket="outputs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return client


@pytest.mark.parametrize("there", [True, False])
def test_output_longer_than_ssm_keeps_is_fetched_from_the_bucket(script: Script, bucket: Any, *, there: bool) -> None:
    whole = "line\n" * 6_000
    script.sent(Targets=ANY, OutputS3BucketName="outputs", OutputS3KeyPrefix="mounttool")
    script.state("Success", 2, 2)
    script.listed([ONE, TWO])
    script.answered(ONE, "Success", whole[:24_000])
    script.answered(TWO, "Success", "short")
    if there:
        folder = f"mounttool/{COMMAND}/{ONE}/awsrunShellScript/0.awsrunShellScript"
        bucket.put_object(Bucket="outputs", Key=f"{folder}/stderr", Body=b"")
        bucket.put_object(Bucket="outputs", Key=f"{folder}/stdout", Body=whole.encode())

    found, _ = run(script, bucket="outputs", s3=bucket)

    assert [one.stdout for one in found] == [whole if there else whole[:24_000], "short"]


@pytest.mark.usefixtures("aws")
def test_a_command_is_connected_to_the_region_that_is_named() -> None:
    runner = run_command.connect("us-west-2", None)
    assert runner._ssm.meta.region_name == "us-west-2"
