"""The commands. Each parses its flags, calls the package and prints; nothing imports them.

Exit codes: 0 all is well; 1 a node, a step or a check failed; 2 the input cannot be used; 130 interrupted.
"""

from __future__ import annotations

from invoke.collection import Collection

from mounttool.tasks import (
    benchmark,
    comparison,
    compatibility,
    configuration,
    documents,
    inventory,
    laboratory,
    live,
    mounts,
    nextflow,
    parallelcluster,
    recipe,
    ssm,
    verification,
)

namespace = Collection()
for task in (
    mounts.plan,
    mounts.provision,
    mounts.mount,
    mounts.unmount,
    mounts.status,
    documents.script,
    ssm.ssm,
    parallelcluster.parallelcluster,
    documents.userdata,
    documents.launchtemplate,
    verification.verify,
    compatibility.compat,
    benchmark.bench,
    comparison.compare,
    live.live,
    recipe.mountpoint_s3,
    inventory.inventory,
    nextflow.nextflow,
):
    namespace.add_task(task)
namespace.add_collection(Collection.from_module(configuration, name="config"))
namespace.add_collection(Collection.from_module(laboratory, name="lab"))
