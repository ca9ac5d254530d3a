"""The rights that the signer gives and ends, in a real PostgreSQL and a real Redis."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import psycopg
import pytest
import redis
from django.db import connection

from tests.integration.conftest import connect_beside
from tests.redis_server import TlsRedis
from vpnportal.deployment.broker_access import SIGNER_USER, digest, gateway_user
from vpnportal.deployment.gateway_role import GROUP, scram_verifier
from vpnportal.enrolment import role_functions
from vpnportal.enrolment.access import Access
from vpnportal.enrolment.role_functions import ROLE, SCHEMA
from vpnportal.enrolment.signer import CannotGive

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no roles"),
    pytest.mark.skipif(not shutil.which("redis-server"), reason="there is no redis-server"),
]
NAME, OTHER = "ams03-vpn01", "ams03-vpn02"
PASSWORD = "5f2c" * 12


@pytest.fixture(scope="module")
def broker(tmp_path_factory) -> Iterator[TlsRedis]:
    with TlsRedis(tmp_path_factory.mktemp("redis"), OTHER) as running:
        yield running


@pytest.fixture
def superuser(db) -> Iterator[psycopg.Connection]:
    """Yield a superuser's connection to the database of the functions, and remove them later."""
    with connect_beside(dbname="postgres", autocommit=True) as opened:
        for statement in role_functions.statements():
            opened.execute(statement)
        yield opened
        opened.execute(f"DROP SCHEMA {SCHEMA} CASCADE")
        opened.execute(f'DROP ROLE IF EXISTS "{gateway_user(NAME)}"')
        opened.execute(f'DROP ROLE "{ROLE}"')


@pytest.fixture
def access(superuser, broker) -> Access:
    host = connection.get_connection_params()["host"]
    return Access(
        f"postgresql://{ROLE}@/postgres?host={host}",
        broker.url(SIGNER_USER),
        authority=str(broker.authority),
    )


def give(access: Access, password: str = PASSWORD) -> None:
    access.give(NAME, scram_verifier(password), digest(password))


def client(broker: TlsRedis, password: str = PASSWORD) -> redis.Redis:
    return broker.client(gateway_user(NAME), password)


def role(superuser: psycopg.Connection) -> tuple | None:
    query = """SELECT rolcanlogin, rolsuper, rolcreaterole, rolbypassrls, rolpassword,
        ARRAY(SELECT roleid::regrole::text FROM pg_auth_members WHERE member = pg_authid.oid)
        FROM pg_authid WHERE rolname = %s"""
    return superuser.execute(query, [gateway_user(NAME)]).fetchone()


def test_a_gateway_gets_one_group_and_a_verifier_and_its_own_queue(access, superuser, broker):
    give(access)

    login, is_super, creates, bypasses, verifier, groups = role(superuser)
    assert (login, is_super, creates, bypasses) == (True, False, False, False)
    assert verifier.startswith("SCRAM-SHA-256$4096:")
    assert groups == [f'"{GROUP}"']
    with client(broker) as own:
        own.lpush(f"concentrator.{NAME}", "x")
        with pytest.raises(redis.exceptions.NoPermissionError):
            own.lrange(f"concentrator.{OTHER}", 0, 0)
    assert f"user {gateway_user(NAME)} " in (broker.authority.parent / "users.acl").read_text()


def test_a_removal_ends_connections_that_are_open_and_can_be_repeated(access, superuser, broker):
    give(access)
    own, user = client(broker), gateway_user(NAME)
    own.ping()
    session = connect_beside(dbname="postgres", user=user)

    access.end(NAME)

    assert role(superuser) is None
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    with pytest.raises(redis.exceptions.AuthenticationError):
        own.ping()
    access.end(NAME)


def test_another_join_ends_the_password_and_the_connections_before(access, superuser, broker):
    give(access)
    own = client(broker)
    own.ping()
    session = connect_beside(dbname="postgres", user=gateway_user(NAME))
    first = role(superuser)

    give(access, "another-" + PASSWORD)

    assert role(superuser) != first
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    with pytest.raises(redis.exceptions.AuthenticationError):
        own.ping()
    client(broker, "another-" + PASSWORD).ping()


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("make_role('x'' SUPERUSER', 'x')", "not the name"),
        ("make_role('a', 'plain text')", "not a SCRAM"),
        ("make_role('a', 'md5' || md5('x'))", "not a SCRAM"),
        ("drop_role('postgres')", None),
        ("drop_role('foreign')", "not one of a gateway"),
        ("close_role('foreign')", "not one of a gateway"),
        ("end_sessions('foreign')", "not one of a gateway"),
    ],
)
def test_the_signer_touches_no_role_but_those_of_gateways(call, reason, access, superuser):
    superuser.execute("CREATE ROLE gw_foreign LOGIN")
    try:
        with connect_beside(dbname="postgres", user=ROLE, autocommit=True) as signer:
            if reason:
                with pytest.raises(psycopg.errors.RaiseException, match=reason):
                    signer.execute(f"SELECT {SCHEMA}.{call}")
            else:
                signer.execute(f"SELECT {SCHEMA}.{call}")
            for statement in ("CREATE ROLE gw_a", 'DROP ROLE "gw_foreign"', "CREATE TABLE t ()"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    signer.execute(statement)
        roles = superuser.execute("SELECT rolname FROM pg_roles WHERE rolcanlogin").fetchall()
        assert {("gw_foreign",), ("postgres",)} <= set(roles)
    finally:
        superuser.execute("DROP ROLE gw_foreign")


def test_no_other_role_may_call_the_functions(access, superuser):
    give(access)
    usable = "has_schema_privilege(rolname, %s, 'usage')"
    callable_ = """EXISTS (SELECT FROM pg_proc WHERE pronamespace = %s::regnamespace
        AND has_function_privilege(rolname, oid, 'execute'))"""
    for right in (usable, callable_):
        # PostgreSQL's own roles, such as pg_read_all_data, have no member.
        query = f"SELECT rolname FROM pg_roles WHERE NOT rolsuper AND oid >= 16384 AND {right}"  # noqa: S608
        assert superuser.execute(query, [SCHEMA]).fetchall() == [(ROLE,)]


def test_a_broker_that_is_away_is_a_sentence_and_the_role_ends_all_the_same(
    access, superuser, broker
):
    give(access)
    away = Access(access.database, "rediss://enrolment:x@localhost:1/0")

    with pytest.raises(CannotGive, match="Redis did not change"):
        away.end(NAME)

    assert role(superuser) is None
    access.end(NAME)
