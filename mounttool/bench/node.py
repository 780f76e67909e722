"""What the benchmark does on one node: POSIX sh with GNU coreutils and fio, run over a session.

Nothing here decides whether a number counts; `mounttool.bench.rows` does.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from mounttool.errors import ResultsError, StepError, UnsupportedError
from mounttool.plan import Cache
from mounttool.session import Session

_MARK = "mounttool-measured"
_CLEAN_UP_S = 60

_FACTS = """
command -v fio >/dev/null 2>&1 || { echo 'fio is not installed' >&2; exit 1; }
echo "hostname $(uname -n)"
echo "kernel $(uname -r)"
echo "machine $(uname -m)"
echo "cpus $(getconf _NPROCESSORS_ONLN)"
while read -r name kib _; do [ "$name" = MemTotal: ] && echo "memory_bytes $((kib * 1024))"; done </proc/meminfo
echo "fio $(fio --version)"
"""

# A symbolic link is followed, as the checkpointer that writes there does.
_PLACE = """
cd -P -- {path} || exit 1
place=$(stat -c %m .) || exit 1
echo "$place"
stat -f -c '%a %S' . || exit 1
[ -w . ] || {{ echo 'not writable' >&2; exit 1; }}
"""

# fio runs in a child of this shell, so that what it fetched from disks is added to this shell's own count when it ends.
# An interface above others (bond, bridge, VLAN) is left out: it counts the same bytes once more.
_FIO = """
cd /
received() {{
    total=0
    # The process's own network namespace, which the interfaces in /sys need not be those of.
    while read -r interface bytes _; do
        case $interface in *:) ;; *) continue ;; esac
        set -- "/sys/class/net/${{interface%:}}/"lower_*
        [ "$interface" = lo: ] || [ -e "$1" ] || total=$((total + bytes))
    done <<RECEIVED
$(sed 's/:/: /' /proc/net/dev)
RECEIVED
    echo "$total"
}}
fetched() {{
    total=0
    [ ! -r /proc/$$/io ] || while read -r name bytes; do
        [ "$name" != read_bytes: ] || total=$bytes
    done </proc/$$/io
    echo "$total"
}}
received_before=$(received) fetched_before=$(fetched) begin_ns=$(date +%s%N)
export DIR={directory} SIZE={size_bytes} RANKS={ranks}
timeout -k 10 {timeout_s:.0f} fio --output-format=json+ - <<'MOUNTTOOL_JOB'
{job}
MOUNTTOOL_JOB
status=$?
end_ns=$(date +%s%N)
echo "{mark} $begin_ns $end_ns $(($(received) - received_before)) $(($(fetched) - fetched_before)) $(uname -r)"
[ "$status" != 124 ] || echo 'fio did not end in {timeout_s:.0f} s' >&2
exit "$status"
"""

_DROP_PAGES = """
if ! (echo 1 >/proc/sys/vm/drop_caches) 2>/dev/null; then
    # a container may not: then only the pages of these files go
    for file in {directory}/*; do dd if="$file" iflag=nocache count=0 status=none || exit 1; done
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
    if grep -qzxF -- DIR={directory} "$process/environ" 2>/dev/null; then kill "${{process#/proc/}}" 2>/dev/null; fi
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
class Measured:
    """One run of fio. ``output`` is all that it printed; times are Unix times of the node's clock, in nanoseconds.

    ``received_bytes`` came in over the node's interfaces meanwhile, ``fetched_bytes`` from its disks into fio.
    """

    output: str
    begin_ns: int
    end_ns: int
    received_bytes: int
    fetched_bytes: int
    kernel: str


def facts(session: Session, *, timeout_s: float) -> dict[str, str | int]:
    """Return what a reader of the results wants to know about the node: kernel, cpus, memory_bytes, fio ...

    Raises:
        UnsupportedError: fio is not installed.
        HostError: the node does not answer.

    """
    done = session.run(_FACTS, timeout_s=timeout_s)
    if done.returncode != 0:
        raise UnsupportedError(f"{session.host}: {done.stderr.strip()}", hint="install the package fio on the node")
    pairs = (line.split(" ", 1) for line in done.stdout.splitlines())
    return {name: int(value) if value.isdecimal() else value for name, value in pairs}


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

    def fio(self, job: str, *, size_bytes: int, ranks: int) -> Measured:
        """Run a job file; nothing but the ranks' files of ``size_bytes`` each is written to the directory.

        Raises:
            ResultsError: its output breaks off.

        """
        script = _FIO.format(
            directory=shlex.quote(self.directory),
            size_bytes=size_bytes,
            ranks=ranks,
            # fio's own limit ends first, so that the message says what was slow
            timeout_s=self.timeout_s * 0.9,
            job=job,
            mark=_MARK,
        )
        output, found, line = self._run("fio", script).rpartition(f"{_MARK} ")
        if not found:
            raise ResultsError(f"{self.host}: fio's output breaks off")
        begin_ns, end_ns, received, fetched, kernel = line.split()
        return Measured(output, int(begin_ns), int(end_ns), int(received), int(fetched), kernel)

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of each file, by name."""
        lines = self._run("checksum", f"cd -- {shlex.quote(self.directory)} && sha256sum -- *").splitlines()
        return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}

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

    def _run(self, step: str, script: str) -> str:
        return _output(self.session, step, script, self.timeout_s)


def _output(session: Session, step: str, script: str, timeout_s: float) -> str:
    done = session.run(script, timeout_s=timeout_s)
    if done.returncode != 0:
        told = tuple(done.stderr.splitlines()[-10:]) or (f"exit status {done.returncode}",)
        raise StepError(session.host, step, step, told)
    return done.stdout
