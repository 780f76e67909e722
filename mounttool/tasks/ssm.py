"""ssm: what mount does, through SSM Run Command."""

from __future__ import annotations

from invoke.context import Context

from mounttool import config as configs
from mounttool import node as nodes
from mounttool.deliver import document
from mounttool.deliver import ssm as delivery
from mounttool.quantities import parse_seconds
from mounttool.render import Intent
from mounttool.tasks._command import command
from mounttool.tasks._outcomes import report
from mounttool.tasks.documents import NODE_HELP
from mounttool.terminal import err


@command(
    targets="which nodes: tag:KEY=VALUE, or instance ids; comma-separated",
    node=NODE_HELP,
    region="where they are; by default the environment's or the profile's",
    max_concurrency="how many nodes at once: a number or a percentage",
    max_errors="begin no more nodes when more than this many failed: a number or a percentage",
    timeout="how long the script may take on a node; default: fleet.deadline_s",
    output_bucket="a bucket for output that is longer than SSM keeps; the nodes' role must be allowed to write there",
    remove="take the mounts away instead, as unmount does",
    adopt="copy a directory that is in a link's way, verify the copy and keep the old one aside",
)
def ssm(
    c: Context,
    targets: str,
    node: str,
    config: str = configs.DEFAULT_FILE,
    backend: str | None = None,
    name: str | None = None,
    region: str | None = None,
    max_concurrency: str = "50",
    max_errors: str = "100%",
    timeout: str | None = None,
    output_bucket: str | None = None,
    remove: bool = False,
    dry_run: bool = False,
    adopt: bool = False,
    json_: bool = False,
) -> None:
    """Mount, through SSM Run Command, on all nodes with a tag: no SSH, no address, no limit of one terminal.

    Example: fab ssm --targets tag:Role=worker --node al2023-amd64 --max-concurrency 10% --max-errors 5
    """
    # Late: boto3 takes its time.
    from mounttool.aws import run_command  # noqa: PLC0415

    loaded = configs.load(config)
    mounts = loaded.select(backend=backend, name=name)[:: -1 if remove else 1]
    declared = nodes.declare(node)
    intent = Intent("remove" if remove else "apply", dry_run=dry_run, adopt=adopt)
    text = delivery.command(document.script(loaded.file, mounts, declared, intent))
    chosen = run_command.parse_targets(targets)
    seconds = loaded.fleet.deadline_s if timeout is None else parse_seconds(timeout)
    limits = run_command.parse_limits(max_concurrency, max_errors, seconds)
    comment = f"mounttool {'unmount' if remove else 'mount'} {' '.join(mount.name for mount in mounts)}"

    def progress(identity: str, done: int, of: int) -> None:
        if not json_:
            err.print(f"SSM command {identity}: {done} of {of} nodes are done", markup=False)

    answers = run_command.connect(region, output_bucket).run(text, chosen, limits, comment, progress)
    plans = [mount.plan(declared) for mount in mounts]
    report([delivery.result(answer, plans) for answer in answers], intent, json_=json_)
