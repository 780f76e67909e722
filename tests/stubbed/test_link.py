from __future__ import annotations

import pytest
from example_mount import Example
from private_root import PrivateRoot

from mounttool.plan import Plan
from mounttool.render import Intent

pytestmark = pytest.mark.stubbed

ADOPT = Intent(adopt=True)
LINK = "link /mmc-checkpoint -> /mnt/jfs/mmc-checkpoint"


def refused(root: PrivateRoot, plan: Plan, intent: Intent | None = None) -> str:
    run = root.run([plan], intent)
    failure = run.only.failure
    assert failure is not None, run.lines
    assert failure.title == LINK
    assert failure.hint
    return failure.log[-1]


def tells(root: PrivateRoot, path: str) -> str:
    return root.sh(f'cd {path} && find . | sort | while read -r p; do [ ! -f "$p" ] || cksum "$p"; echo "$p"; done')


def test_a_directory_with_files_is_refused_named_and_kept(root: PrivateRoot, plan: Example) -> None:
    root.sh("mkdir /mmc-checkpoint; echo 1 >/mmc-checkpoint/a; echo 2 >/mmc-checkpoint/.b")
    assert refused(root, plan()) == "/mmc-checkpoint is a directory with 2 entries such as '.b'"
    assert root.sh("cat /mmc-checkpoint/a /mmc-checkpoint/.b; [ ! -L /mmc-checkpoint ]") == "1\n2\n"


def test_adopting_copies_verifies_and_keeps_the_old_directory_aside(root: PrivateRoot, plan: Example) -> None:
    root.sh(
        "mkdir -p '/mmc-checkpoint/sub dir'; cd /mmc-checkpoint; echo 1 >a; echo 2 >.b; echo 3 >'sub dir/c d';"
        "ln -s a link; ln -s /nowhere dangling; chmod 600 a"
    )
    before = tells(root, "/mmc-checkpoint/")
    run = root.run([plan()], ADOPT)
    assert run.step(LINK) == "changed", run.lines
    assert root.sh("readlink /mmc-checkpoint") == "/mnt/jfs/mmc-checkpoint\n"
    assert tells(root, "/mmc-checkpoint/") == before
    (aside,) = root.sh("ls -d /mmc-checkpoint.before-mounttool-*").split()
    assert tells(root, aside) == before
    assert aside in next(step.note for step in run.only.steps if step.title == LINK)
    assert root.sh("stat -c %a /mnt/jfs/mmc-checkpoint/a") == "600\n"
    assert root.run([plan()], ADOPT).statuses() == {"ok"}


def test_adopting_is_refused_where_both_have_an_entry_and_nothing_is_copied(root: PrivateRoot, plan: Example) -> None:
    root.run([plan()])
    root.sh(
        "rm /mmc-checkpoint; mkdir /mmc-checkpoint; cd /mmc-checkpoint; echo old >a; echo 2 >b;"
        "echo new >/mnt/jfs/mmc-checkpoint/a"
    )
    said = refused(root, plan(), ADOPT)
    assert said == "both /mmc-checkpoint and /mnt/jfs/mmc-checkpoint have 'a'"
    assert root.sh("cat /mnt/jfs/mmc-checkpoint/a /mmc-checkpoint/a; ls -A /mnt/jfs/mmc-checkpoint") == "new\nold\na\n"


def test_a_copy_that_differs_is_not_taken(root: PrivateRoot, plan: Example) -> None:
    root.sh(
        "mkdir /mmc-checkpoint; echo 1 >/mmc-checkpoint/a;"
        'printf \'#!/bin/sh\\n/bin/cp "$@" && for to; do :; done && case $to in */) echo changed >"$to/a" ;; esac\\n\''
        ">/stubs/cp; chmod +x /stubs/cp"
    )
    assert refused(root, plan(), ADOPT) == "the copy of /mmc-checkpoint differs from it"
    assert root.sh("cat /mmc-checkpoint/a; ls /mnt/jfs/mmc-checkpoint") == "1\n"
    root.sh("rm /stubs/cp")
    assert root.run([plan()], ADOPT).step(LINK) == "changed"
    assert root.sh("cat /mmc-checkpoint/a; ls -A /mnt/jfs/mmc-checkpoint") == "1\na\n"


def test_an_empty_directory_is_replaced(root: PrivateRoot, plan: Example) -> None:
    root.sh("mkdir /mmc-checkpoint")
    assert root.run([plan()]).step(LINK) == "changed"
    assert root.sh("ls -d /mmc-checkpoint*; readlink /mmc-checkpoint") == "/mmc-checkpoint\n/mnt/jfs/mmc-checkpoint\n"


def test_a_link_of_somebody_else_is_refused_and_kept_aside_when_adopted(root: PrivateRoot, plan: Example) -> None:
    root.sh("mkdir /elsewhere; ln -s /elsewhere /mmc-checkpoint")
    assert refused(root, plan()) == "/mmc-checkpoint is a link to /elsewhere that mounttool did not make"
    assert root.sh("readlink /mmc-checkpoint") == "/elsewhere\n"
    assert root.run([plan()], ADOPT).step(LINK) == "changed"
    assert root.sh("readlink /mmc-checkpoint.before-mounttool-*") == "/elsewhere\n"


def test_a_dangling_link_is_replaced_and_its_target_told(root: PrivateRoot, plan: Example) -> None:
    root.sh("ln -s /gone /mmc-checkpoint")
    run = root.run([plan()])
    assert run.step(LINK) == "changed"
    assert next(step.note for step in run.only.steps if step.title == LINK) == "it pointed to /gone before"


def test_an_own_link_follows_a_new_directory(root: PrivateRoot, plan: Example) -> None:
    root.run([plan()])
    assert root.run([plan(directory='"other"')]).only.status == "changed"
    assert root.sh("readlink /mmc-checkpoint") == "/mnt/jfs/other\n"


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ("echo precious >/mmc-checkpoint", "/mmc-checkpoint is a file"),
        (
            "mkdir /mmc-checkpoint; mount -t tmpfs other /mmc-checkpoint",
            "/mmc-checkpoint is a mount itself: tmpfs other",
        ),
    ],
)
def test_a_file_or_a_mount_in_the_way_is_refused_also_when_adopting(
    root: PrivateRoot, plan: Example, there: str, said: str
) -> None:
    root.sh(there)
    assert refused(root, plan()) == said
    assert refused(root, plan(), ADOPT) == said


def test_a_removal_leaves_a_link_that_is_not_its_own(root: PrivateRoot, plan: Example) -> None:
    root.run([plan()])
    root.sh("rm /mmc-checkpoint; mkdir /elsewhere; ln -s /elsewhere /mmc-checkpoint")
    run = root.run([plan()], Intent(action="remove"))
    assert run.only.status == "changed"
    assert root.sh("readlink /mmc-checkpoint") == "/elsewhere\n"


def test_a_removal_keeps_the_data(root: PrivateRoot, plan: Example) -> None:
    root.run([plan()])
    run = root.run([plan()], Intent(action="remove"))
    assert (
        next(step.note for step in run.only.steps if step.title.startswith("directory /mnt/jfs/"))
        == "data is left as it is"
    )
