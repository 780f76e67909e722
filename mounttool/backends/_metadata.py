"""The address of a JuiceFS metadata engine: taken apart, and put together as JuiceFS spells it.

Sources: JuiceFS "How to set up metadata engine"; go-sql-driver's DSN, which is why MySQL's host stands in parentheses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

_ADDRESS = re.compile(
    r"(?P<scheme>redis|rediss|mysql|postgres|sqlite3)://"
    r"(?:(?P<user>[^:@/()]*)(?P<colon>:(?P<password>[^@/()]*))?@)?"
    r"(?P<open>\()?(?P<host>[^/?()]*)(?P<close>\))?"
    r"(?P<path>/[^?]*)?(?:\?(?P<query>.*))?"
)
_PORTS = {"redis": 6379, "rediss": 6379, "mysql": 3306, "postgres": 5432}
_NAMES = {"redis": "Redis", "rediss": "Redis (TLS)", "mysql": "MySQL", "postgres": "PostgreSQL", "sqlite3": "SQLite"}


@dataclass(frozen=True, slots=True)
class MetadataEngine:
    """Where a volume's metadata is. ``database`` is a number for Redis, a name for SQL, a path for SQLite."""

    scheme: str
    user: str
    host: str
    port: int
    database: str
    query: str = ""

    @property
    def what(self) -> str:
        """The engine's name for people."""
        return _NAMES[self.scheme]

    @property
    def is_redis(self) -> bool:
        """Whether it speaks Redis' protocol."""
        return self.scheme in {"redis", "rediss"}

    def url(self, *, certificate: str = "") -> str:
        """Return the address for ``juicefs``, without its password; ``certificate`` is the path of the own CA."""
        if self.scheme == "sqlite3":
            return f"sqlite3://{self.database}"
        trust = {"rediss": "tls-ca-cert-file", "postgres": "sslrootcert"}.get(self.scheme, "")
        queries = [self.query] if self.query else []
        if certificate:
            queries.append(f"{trust}={certificate}")
        user = f"{quote(self.user, safe='')}:@" if self.user or self.is_redis else ""
        if self.scheme == "postgres":
            user = user.replace(":@", "@")
        host = f"({self.host}:{self.port})" if self.scheme == "mysql" else f"{self.host}:{self.port}"
        return f"{self.scheme}://{user}{host}/{self.database}" + ("?" + "&".join(queries) if queries else "")


def parse(address: str) -> MetadataEngine:
    """Return the engine that ``address`` names.

    Raises:
        ValueError: what was expected; in pydantic's manner.

    """
    found = _ADDRESS.fullmatch(address)
    if "@" in address and (not found or found["password"] or "@" in address[found.start("host") :]):
        # Also where a password's own / or ( makes it look like something else: it must not be shown.
        raise ValueError("an address without a password, percent-encoded: give the password as metadata_password")
    if not found:
        raise ValueError(
            "redis://HOST:PORT/DB, rediss://HOST:PORT/DB, mysql://USER@HOST:PORT/DATABASE, "
            "postgres://USER@HOST:PORT/DATABASE or sqlite3:///PATH"
        )
    scheme = found["scheme"]
    if scheme == "sqlite3":
        if not (found["path"] or "").startswith("/") or found["host"]:
            raise ValueError("sqlite3:///ABSOLUTE/PATH")
        return MetadataEngine(scheme, "", "", 0, found["path"])
    # A Redis cluster or sentinel is a list of hosts: the last one carries the port.
    host, _, port = found["host"].rpartition(":") if ":" in found["host"] else (found["host"], "", "")
    database = (found["path"] or "").strip("/")
    if not host or (port and not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536)):
        raise ValueError(f"{scheme}://HOST:PORT/...")
    if scheme in {"redis", "rediss"} and not re.fullmatch("[0-9]+", database):
        raise ValueError(f"the number of the Redis database: {scheme}://{host}:{port or 6379}/1")
    if scheme in {"mysql", "postgres"} and not re.fullmatch(r"[A-Za-z0-9_$-]{1,63}", database):
        raise ValueError(f"a database name of letters, digits, _, $ and -: {scheme}://USER@{host}/DATABASE")
    user = unquote(found["user"] or "")
    return MetadataEngine(scheme, user, host, int(port or _PORTS[scheme]), database, found["query"] or "")
