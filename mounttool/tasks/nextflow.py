"""nextflow: a configuration for pipelines whose containers are checkpointed."""

from __future__ import annotations

from invoke.context import Context

from mounttool import config as configs
from mounttool.deliver import nextflow as pipelines
from mounttool.tasks._command import command
from mounttool.tasks.documents import OUTPUT_HELP, write


@command(
    queue="the AWS Batch job queue",
    region="its region; by default Nextflow takes the environment's",
    retries="how often a task is run again",
    interval="how often the engine writes a checkpoint",
    subpath="the directory inside the mount for these images; empty: none",
    cli_path="where the instances' image has the AWS CLI",
    output=OUTPUT_HELP,
)
def nextflow(
    c: Context,
    queue: str,
    config: str = configs.DEFAULT_FILE,
    name: str | None = None,
    region: str | None = None,
    retries: str = "2",
    interval: str = "5m",
    subpath: str = "nextflow",
    cli_path: str = "/nextflow_awscli/bin/aws",
    output: str = "-",
) -> None:
    """Print an aws.config for Nextflow on AWS Batch, whose containers keep their checkpoints in a mount.

    Example: fab nextflow --queue aws-spot-q --region us-east-1 > aws.config
    """
    mounts = configs.load(config).select(name=name)
    mount = mounts[0] if name else pipelines.image_mount(mounts)
    settings = pipelines.Settings(queue, region, retries, interval, subpath, cli_path)
    write(output, pipelines.document(mount, settings).encode())
