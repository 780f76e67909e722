"""What the benchmark does on one node: POSIX sh with GNU coreutils and fio, run over a session.

Nothing here decides whether a number counts; `mounttool.bench.rows` does.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mounttool.errors import StepError, UnsupportedError
from mounttool.plan import Cache
from mounttool.session import Completed, Session

_CLEAN_UP_S = 60

# A symbolic link is followed, as the checkpointer that writes there does.
_PLACE = """
cd -P -- {path} || exit 1
place=$(stat -c %m .) || exit 1
echo "$place"
stat -f -c '%a %S' . || exit 1
[ -w . ] || {{ echo 'not writable' >&2; exit 1; }}
"""

# All that is started for a benchmark carries the directory's name, so that it can be found and ended.
_FIO = """
cd /
export MOUNTTOOL_BENCH={directory}
timeout -k 10 {timeout_s:.0f} fio --output-format=json+ {arguments}
status=$?
[ "$status" != 124 ] || echo 'fio did not end in {timeout_s:.0f} s' >&2
exit "$status"
"""

_FILE = """
cat >{path} <<'MOUNTTOOL_JOB' || exit 1
{text}
MOUNTTOOL_JOB
"""

_DROP_PAGES = """
if ! (echo 1 >/proc/sys/vm/drop_caches) 2>/dev/null; then
    # a container may not: then only the pages of these files go
    find {directory} -type f -exec dd if={{}} iflag=nocache count=0 status=none ';' || exit 1
fi
"""

# A cache's staging area holds what has not reached the storage yet: it is data, not cache, and is never touched.
_EMPTY_DIRECTORY = """
if cache=$(readlink -e -- {cache}); then
    cd -P -- {path} || exit 1
    kept=$({kept})
    case $cache/ in //|"${{kept%/}}"/*) echo "refused to empty $cache: it holds what is measured" >&2; exit 1;; esac
    case $kept/ in "$cache"/*) echo "refused to empty $cache: it holds what is measured" >&2; exit 1;; esac
    cd -P -- "$cache" || exit 1
    find . -xdev -type f ! -path '*staging*' -delete || exit 1
fi
"""

# Only an fio that was started for this very directory is ended, after an interruption.
_CLEAN_UP = """
for process in /proc/[0-9]*; do
    read -r name 2>/dev/null <"$process/comm" || continue
    case $name in fio | timeout) ;; *) continue ;; esac
    grep -qzxF -- MOUNTTOOL_BENCH={directory} "$process/environ" 2>/dev/null || continue
    kill "${{process#/proc/}}" 2>/dev/null
done
# The other node may have removed it just now; what this kernel remembers of it ages in a second or two.
rm -rf -- {directory} 2>/dev/null || {{ sleep 2; rm -rf -- {directory}; }}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path lies: its mount point, and the bytes that ordinary users may still write there."""

    mount_point: str
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Workplace:
    """A directory on a node, and what can be done there; every single command takes at most ``timeout_s``.

    Raises:
        StepError: a command failed.
        HostError: the node does not answer.

    """

    session: Session
    directory: str
    timeout_s: float

    @property
    def host(self) -> str:
        """The node's name."""
        return self.session.host

    def place(self) -> Place:
        """Return where the directory lies.

        Raises:
            UnsupportedError: it is no directory, or cannot be written.

        """
        done = self.session.run(_PLACE.format(path=shlex.quote(self.directory)), timeout_s=self.timeout_s)
        if done.returncode != 0:
            told = (done.stderr.strip().splitlines() or ["cannot be used"])[-1]
            raise UnsupportedError(f"{self.host}: {self.directory}: {told}", hint="mount it first")
        mount_point, space = done.stdout.splitlines()
        blocks, block_bytes = space.split()
        return Place(mount_point, int(blocks) * int(block_bytes))

    def make_directory(self) -> None:
        """Make the directory, which must not exist yet."""
        self._run("make directory", f"mkdir -- {shlex.quote(self.directory)}")

    def make_below(self, path: str) -> None:
        """Make a directory below the directory, unless it is there; and that too, where no other node's is seen."""
        self._run("make directory", f"mkdir -p -- {shlex.quote(path)}")

    def fio(self, job: str) -> str:
        """Run a job file, and return what fio printed."""
        return self._run("fio", self._fio(f"- <<'MOUNTTOOL_JOB'\n{job}\nMOUNTTOOL_JOB"))

    def fio_client(self, jobs: Mapping[str, str], folder: str) -> Completed:
        """Let the servers at these sockets run a job file each, all at once, and return what fio's client said.

        ``folder`` is a directory of the node's own for the files.
        """
        files, arguments = "", "--eta=never"
        for number, (socket, job) in enumerate(jobs.items()):
            path = shlex.quote(f"{folder}/{number}.fio")
            files += _FILE.format(path=path, text=job)
            arguments += f" --client=sock:{shlex.quote(socket)} {path}"
        return self.session.run(files + self._fio(arguments), timeout_s=self.timeout_s)

    def empty_all(self, caches: Sequence[Cache], *, keep: str, whole_mount: bool) -> None:
        """Empty all of the node's caches; see `empty`."""
        for cache in caches:
            self.empty(cache, keep=keep, whole_mount=whole_mount)

    def empty(self, cache: Cache, *, keep: str, whole_mount: bool) -> None:
        """Empty one of the node's caches.

        ``keep`` is the measured path: a cache that holds it or lies in it is refused, and with ``whole_mount`` also one
        that lies anywhere on its mount.
        """
        if cache.kind == "page":
            script = _DROP_PAGES.format(directory=shlex.quote(self.directory))
        else:
            # On a node's own disk the mount point may be /, which holds every cache.
            kept = "stat -c %m ." if whole_mount else "pwd -P"
            script = _EMPTY_DIRECTORY.format(cache=shlex.quote(cache.path), path=shlex.quote(keep), kept=kept)
        self._run(f"empty {cache.kind} cache", script)

    def clean_up(self) -> None:
        """Remove the directory and end an fio that still works in it; all right when there is neither."""
        script = _CLEAN_UP.format(directory=shlex.quote(self.directory))
        # A time of its own: after a failure nothing may be left of the host's deadline.
        _output(self.session, "clean up", script, _CLEAN_UP_S)

    def _fio(self, arguments: str) -> str:
        # fio's own limit ends first, so that the message says what was slow
        return _FIO.format(directory=shlex.quote(self.directory), timeout_s=self.timeout_s * 0.9, arguments=arguments)

    def _run(self, step: str, script: str) -> str:
        return _output(self.session, step, script, self.timeout_s)


def _output(session: Session, step: str, script: str, timeout_s: float) -> str:
    done = session.run(script, timeout_s=timeout_s)
    if done.returncode != 0:
        told = tuple(done.stderr.splitlines()[-10:]) or (f"exit status {done.returncode}",)
        raise StepError(session.host, step, step, told)
    return done.stdout
