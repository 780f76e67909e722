"""mountpoint-s3: the arguments of aws-hpc-recipes' mount.sh, without a configuration file."""

from __future__ import annotations

from invoke.context import Context

from mounttool import config as configs
from mounttool.backends.base import Backend
from mounttool.config import Fleet
from mounttool.deliver import recipe as recipes
from mounttool.deliver.fleet import LOCAL
from mounttool.node import Node, default_user
from mounttool.plan import Plan
from mounttool.render import Intent
from mounttool.tasks._command import Choice, command, nodes_of
from mounttool.tasks._outcomes import report, work

ON_THIS_MACHINE = Choice(LOCAL)


@command(
    bucket="the bucket",
    path="where it is mounted",
    options=f"the options of mount-s3, all of them as one string; default: {recipes.OPTIONS}",
    run_as="the user who mounts; default: the one whom the node's distribution is made for, such as ec2-user",
    hosts="hosts, comma-separated; default: this machine",
    config="a configuration whose fleet says how to reach them",
    remove="take the mount away again",
)
def mountpoint_s3(
    c: Context,
    bucket: str,
    path: str,
    options: str = recipes.OPTIONS,
    run_as: str | None = None,
    hosts: Choice = ON_THIS_MACHINE,
    config: str | None = None,
    remove: bool = False,
    dry_run: bool = False,
    json_: bool = False,
) -> None:
    """Mount a bucket as `mount.sh BUCKET PATH [OPTIONS]` of aws-hpc-recipes does; the unit has the same name.

    Examples: fab mountpoint-s3 my-bucket /shared/data
              fab mountpoint-s3 public-data /shared/public --options="--no-sign-request --allow-root --debug"
    """
    mount = recipes.declare(bucket, path, options, run_as or recipes.USER)

    def for_its_user(declared: Backend, node: Node) -> Plan:
        return declared.model_copy(update={"run_as": run_as or default_user(node)}).plan(node)

    settings = configs.load(config).fleet if config else Fleet.model_validate({})
    intent = Intent("remove" if remove else "apply", dry_run=dry_run)
    chosen = [host.address for host in nodes_of(settings, hosts)]
    report(work(settings, chosen, [mount], for_its_user, intent, quiet=json_), intent, json_=json_)
