"""What is done once for a JuiceFS volume: its database, a look at Redis, the format, each under the right lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mounttool.plan import Ensure, Package, Step

if TYPE_CHECKING:
    from mounttool.backends.juicefs import JuiceFS
    from mounttool.node import Node
    from mounttool.secrets import Secret

_FUNCTIONS = (Path(__file__).parents[1] / "shell" / "juicefs.sh").read_text(encoding="utf-8")


def steps(volume: JuiceFS, node: Node, *, certificate: str) -> Iterator[Step]:
    """Yield what makes ``volume`` exist. ``certificate`` is the metadata engine's own CA on the node, or empty."""
    engine = volume.engine
    environment = _environment(volume, certificate)
    debian = node.family == "debian"
    if engine.is_redis:
        yield Package("redis6-cli" if node.distribution == "amzn" else "redis-cli", (_redis_package(node),))
        yield Ensure(
            "Redis persists and does not evict",
            "jfs_redis_is_sound",
            "jfs_redis_make_sound",
            environment,
            library=_FUNCTIONS,
        )
    elif engine.scheme in {"mysql", "postgres"}:
        if engine.scheme == "mysql":
            yield Package("mysql", ("mariadb-client" if debian else "mariadb105" if _is_al2023(node) else "mariadb",))
        else:
            yield Package(
                "psql", ("postgresql-client" if debian else "postgresql15" if _is_al2023(node) else "postgresql",)
            )
        yield Ensure(
            f"database {engine.database} at {engine.host}:{engine.port}",
            "jfs_database_is",
            "jfs_database_make",
            environment,
            hint="create the database yourself, or let the user of metadata create it; check metadata_password",
            library=_FUNCTIONS,
        )
    yield Ensure(
        f"volume {volume.volume} in {volume.bucket}",
        "jfs_volume_is",
        "jfs_volume_make",
        environment,
        library=_FUNCTIONS,
    )


def _environment(volume: JuiceFS, certificate: str) -> Mapping[str, str | Secret]:
    engine = volume.engine
    keys = {"ACCESS_KEY": volume.access_key or "", "SECRET_KEY": volume.secret_key or ""}
    return {
        "VOLUME": volume.volume,
        "META": volume.metadata_url(),
        "META_PASSWORD": volume.metadata_password or "",
        "STORAGE": volume.storage,
        "BUCKET": volume.bucket,
        **keys,
        "ENGINE": engine.scheme,
        "DB_HOST": engine.host.split(",")[0],
        "DB_PORT": str(engine.port),
        "DB_USER": engine.user,
        "DB_NAME": engine.database,
        "DB_CA": certificate,
    }


def _is_al2023(node: Node) -> bool:
    return (node.distribution, node.version) == ("amzn", "2023")


def _redis_package(node: Node) -> str:
    if node.family == "debian":
        return "redis-tools"
    return "redis6" if _is_al2023(node) else "redis"
