"""parallelcluster: custom actions for a cluster's nodes."""

from __future__ import annotations

import sys

from invoke.context import Context

from mounttool import config as configs
from mounttool import node as nodes
from mounttool.deliver import document
from mounttool.deliver import parallelcluster as clusters
from mounttool.deliver import recipe as recipes
from mounttool.deliver.parallelcluster import Action
from mounttool.errors import InputError
from mounttool.render import Intent
from mounttool.tasks._command import command
from mounttool.tasks.documents import NODE_HELP
from mounttool.terminal import err

#: What a node of a cluster runs: a name for people, the script, and its arguments.
Script = tuple[str, str, tuple[str, ...]]


@command(
    bucket="where the scripts are kept, as s3://BUCKET/PREFIX",
    queues="the Slurm queues whose nodes run them, comma-separated; the head node does so, too",
    node=NODE_HELP,
    recipe="instead of the file's mounts: BUCKET DIRECTORY [OPTIONS], as mount.sh of aws-hpc-recipes takes them; "
    "several with ; between",
    dry_run="print the YAML, bring nothing to S3",
)
def parallelcluster(
    c: Context,
    bucket: str,
    queues: str = "",
    node: str | None = None,
    config: str = configs.DEFAULT_FILE,
    backend: str | None = None,
    name: str | None = None,
    recipe: str | None = None,
    dry_run: bool = False,
) -> None:
    """Bring to S3 what a ParallelCluster's nodes run when they are configured, and print the YAML that names it.

    Examples: fab parallelcluster --bucket s3://my-scripts/cluster --queues compute,gpu --node al2023-amd64
              fab parallelcluster --bucket s3://my-scripts/cluster --recipe "my-bucket /shared/data"
    """
    from mounttool.aws import objects  # noqa: PLC0415 - boto3 only when it is used

    folder, names = objects.parse(bucket), clusters.queues(queues)
    scripts = _of_recipe(recipe) if recipe else _of_file(config, backend, name, node)
    actions = []
    for title, text, arguments in scripts:
        stored = objects.locate(folder, text, "", name=title) if dry_run else objects.put(folder, text, name=title)
        actions.append(Action(f"s3://{stored.bucket}/{stored.key}", arguments))
        err.print(f"{actions[-1].script}: {'would be' if dry_run else 'is'} there, {len(text)} bytes", markup=False)
    sys.stdout.write(clusters.document(actions, names, folder.bucket, folder.prefix))


def _of_file(config: str, backend: str | None, name: str | None, node: str | None) -> list[Script]:
    """A script for each mount, in the file's order."""
    if node is None:
        raise InputError("--node: expected what the cluster's nodes are, such as al2023-amd64: they cannot be asked")
    loaded, declared = configs.load(config), nodes.declare(node)
    mounts = loaded.select(backend=backend, name=name)
    return [(mount.name, document.script(loaded.file, [mount], declared, Intent()), ()) for mount in mounts]


def _of_recipe(recipe: str) -> list[Script]:
    """install.sh once, and mount.sh for each bucket."""
    from mounttool.deliver import recipe_scripts  # noqa: PLC0415 - the backend only when it is used

    mount = recipe_scripts.mount_script()
    mounted = [("mount", mount, arguments) for arguments in recipes.arguments(recipe)]
    return [("install", recipe_scripts.install_script(), ()), *mounted]
