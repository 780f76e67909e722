from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mounttool.backends import _metadata
from mounttool.backends._metadata import MetadataEngine

_host = st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True)
_port = st.integers(min_value=1, max_value=65535)
_user = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
_query = st.sampled_from(["", "a=b", "a=b&c=d%20e"])
_redis = st.builds(
    MetadataEngine,
    st.sampled_from(["redis", "rediss"]),
    st.one_of(st.just(""), _user),
    _host,
    _port,
    st.integers(min_value=0, max_value=99).map(str),
    _query,
)
_sql = st.builds(
    MetadataEngine,
    st.sampled_from(["mysql", "postgres"]),
    _user,
    _host,
    _port,
    st.from_regex(r"[A-Za-z0-9_$-]{1,63}", fullmatch=True),
    _query,
)


@given(st.one_of(_redis, _sql))
def test_an_address_reads_back_as_it_was_written(engine: MetadataEngine) -> None:
    assert _metadata.parse(engine.url()) == engine


@pytest.mark.parametrize(
    ("address", "url", "what"),
    [
        ("redis://host/1", "redis://:@host:6379/1", "Redis"),
        ("rediss://me@host:7000/2", "rediss://me:@host:7000/2", "Redis (TLS)"),
        ("mysql://me@db/juicefs", "mysql://me:@(db:3306)/juicefs", "MySQL"),
        ("mysql://me@(db:3307)/juicefs", "mysql://me:@(db:3307)/juicefs", "MySQL"),
        ("postgres://me@db/juicefs?sslmode=disable", "postgres://me@db:5432/juicefs?sslmode=disable", "PostgreSQL"),
        ("sqlite3:///var/lib/jfs.db", "sqlite3:///var/lib/jfs.db", "SQLite"),
        ("redis://a:6379,b:6379/1", "redis://:@a:6379,b:6379/1", "Redis"),
    ],
)
def test_an_address_is_written_as_juicefs_takes_it_with_its_port(address: str, url: str, what: str) -> None:
    engine = _metadata.parse(address)
    assert (engine.url(), engine.what) == (url, what)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("rediss://host/1", "rediss://:@host:6379/1?tls-ca-cert-file=/ca.pem"),
        ("postgres://me@db/j?a=b", "postgres://me@db:5432/j?a=b&sslrootcert=/ca.pem"),
    ],
)
def test_an_own_ca_becomes_the_engine_s_own_parameter(address: str, url: str) -> None:
    assert _metadata.parse(address).url(certificate="/ca.pem") == url


@given(st.text())
def test_what_is_not_an_address_is_refused_and_nothing_else_happens(text: str) -> None:
    for scheme in ("", "redis://", "mysql://", "postgres://", "sqlite3://"):
        try:
            engine = _metadata.parse(scheme + text)
        except ValueError:
            continue
        assert 0 <= engine.port < 65536
