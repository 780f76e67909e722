"""Where numbers come from: what a node is, and what its network carries. POSIX sh; python3 only for the network."""

from __future__ import annotations

import concurrent.futures
import queue
import shlex
from dataclasses import dataclass

from mounttool.errors import HostError, MounttoolError
from mounttool.session import Completed, Session

UNKNOWN = "unknown"

# The instance metadata service is asked on EC2 only: elsewhere its address may be anything.
_FACTS = """
cd /
told() { [ -z "$2" ] || printf '%s %s\\n' "$1" "$2"; }
told hostname "$(uname -n)"
told kernel "$(uname -r)"
told machine "$(uname -m)"
told cpus "$(getconf _NPROCESSORS_ONLN)"
while read -r name kib _; do [ "$name" != MemTotal: ] || told memory_bytes "$((kib * 1024))"; done </proc/meminfo
told fio "$(fio --version 2>/dev/null)"
told criu "$(PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; criu --version 2>/dev/null | sed -n 's/^Version: *//p')"
told python "$(python3 -c 'import platform; print(platform.python_version())' 2>/dev/null)"
vendor=$(cat /sys/class/dmi/id/sys_vendor 2>/dev/null) type=$(cat /sys/class/dmi/id/product_name 2>/dev/null)
if [ "$vendor" = 'Amazon EC2' ] && command -v curl >/dev/null 2>&1; then
    imds=http://169.254.169.254/latest
    token=$(curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $imds/api/token)
    asked() { printf 'header = "X-aws-ec2-metadata-token: %s"\\n' "$token" | curl -sf -m 2 -K - "$imds/meta-data/$1"; }
    type=$(asked instance-type || echo "$type")
    told az "$(asked placement/availability-zone)"
fi
told instance_type "$type"
"""

_NUMBERS = ("cpus", "memory_bytes")

#: How long bytes are sent from one node to another, and how long the whole may take.
_SEND_S = 1.0
_NETWORK_S = 20

# Both ends count what arrived; nothing is written anywhere, and the listener takes one caller and ends by itself.
_RECEIVE = """
exec python3 -I -c '
import socket, time
server = socket.socket()
server.bind(("", 0))
server.listen(1)
server.settimeout(8)
print("port", server.getsockname()[1], flush=True)
caller, _ = server.accept()
caller.settimeout(8)
buffer = bytearray(1 << 20)
received, start = 0, time.monotonic()
while True:
    count = caller.recv_into(buffer)
    if not count:
        break
    received += count
print("received", received, time.monotonic() - start, flush=True)
'
"""
_SEND = """
exec python3 -I -c '
import os, socket, sys, time
caller = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)
block = os.urandom(1 << 20)
end = time.monotonic() + float(sys.argv[3])
while time.monotonic() < end:
    caller.sendall(block)
' {address} {port} {seconds}
"""
_ADDRESS = "hostname -I 2>/dev/null | tr ' ' '\\n' | head -n 1"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a reader of results wants to know of a node; what it does not say is empty, or ``unknown``."""

    host: str
    hostname: str
    kernel: str
    machine: str
    cpus: int
    memory_bytes: int
    instance_type: str = UNKNOWN
    az: str = ""
    fio: str = ""
    criu: str = ""
    python: str = ""


def facts(session: Session, *, timeout_s: float) -> Facts:
    """Return what the node is.

    Raises:
        HostError: it does not answer, or not as expected.

    """
    done = session.run(_FACTS, timeout_s=timeout_s)
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    numbers = {name: int(told.pop(name)) for name in _NUMBERS if told.get(name, "").isdecimal()}
    try:
        return Facts(host=session.host, **told, **numbers)  # type: ignore[arg-type]
    except TypeError as error:
        raise HostError(session.host, "run", f"said something else than its facts: {error}") from None


def network_gbps(sender: Session, receiver: Session) -> float | None:
    """Return the 10**9 bits per second that one TCP connection carries; None when there is no way between the two."""
    ports: queue.Queue[str] = queue.Queue()
    try:
        address = receiver.run(_ADDRESS, timeout_s=_NETWORK_S).stdout.strip()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            receiving = pool.submit(receiver.run, _RECEIVE, timeout_s=_NETWORK_S, on_line=ports.put)
            port = _port(ports, receiving)
            if not address or not port:
                return None
            script = _SEND.format(address=shlex.quote(address), port=port, seconds=_SEND_S)
            sender.run(script, timeout_s=_NETWORK_S)
            told = receiving.result().stdout.splitlines()[-1].split()
    except (MounttoolError, IndexError):
        return None
    if told[0] != "received":
        return None
    return int(told[1]) * 8 / float(told[2]) / 1e9


def _port(ports: queue.Queue[str], receiving: concurrent.futures.Future[Completed]) -> str:
    """Return the port that the listener names, or nothing when it ended without."""
    while not receiving.done() or not ports.empty():
        try:
            word, _, port = ports.get(timeout=0.1).partition(" ")
        except queue.Empty:
            continue
        if word == "port" and port.isdecimal():
            return port
    return ""
