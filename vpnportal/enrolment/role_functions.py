"""Functions in PostgreSQL by which the signer makes and removes the roles of gateways, in SQL.

They run with the rights of a superuser, because CREATEROLE of PostgreSQL 15 is the right to become
every other role. They touch only roles `gw_…` that are members of the group of gateways. They are
in the database `postgres`, which no backup of the portal has.
"""

from __future__ import annotations

from vpnportal.deployment.gateway_role import GROUP
from vpnportal.enrolment.messages import NAME, VERIFIER

DATABASE, SCHEMA, ROLE = "postgres", "vpnportal_enrolment", "vpnportal-enrolment"

# Each takes the name of a concentrator and begins with these two checks.
CHECKS = f"""
    IF name !~ '^{NAME.pattern}$' THEN
        RAISE EXCEPTION 'not the name of a concentrator';
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = role) AND NOT EXISTS (
        SELECT FROM pg_auth_members JOIN pg_roles AS member ON member.oid = pg_auth_members.member
        WHERE member.rolname = role AND roleid = '"{GROUP}"'::regrole
    ) THEN RAISE EXCEPTION 'the role % is not one of a gateway', role; END IF;
"""  # noqa: S608
FUNCTIONS = {
    "make_role(name text, verifier text)": f"""
    IF verifier !~ '^{VERIFIER.pattern}$' THEN
        RAISE EXCEPTION 'not a SCRAM-SHA-256 verifier';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
        EXECUTE format('CREATE ROLE %I', role);
    END IF;
    EXECUTE format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION'
        ' NOBYPASSRLS INHERIT PASSWORD %L', role, verifier);
    EXECUTE format('GRANT "{GROUP}" TO %I', role);
""",
    # A session may begin until this is committed, so the others are ended after it.
    "close_role(name text)": """
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
        EXECUTE format('ALTER ROLE %I NOLOGIN PASSWORD NULL', role);
    END IF;
""",
    "end_sessions(name text)": """
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = role;
""",
    "drop_role(name text)": """
    EXECUTE format('DROP ROLE IF EXISTS %I', role);
""",
}


def statements(password_verifier: str | None = None) -> list[str]:
    """Return the SQL that makes the signer's role and its functions, for a superuser.

    Without a verifier the role has no password: the server knows the user who connects through its
    socket. The SQL may run again.
    """
    secret = f"'{password_verifier}'" if password_verifier else "NULL"
    return [
        _if_missing(GROUP, f'CREATE ROLE "{GROUP}" NOLOGIN'),
        _if_missing(ROLE, f'CREATE ROLE "{ROLE}"'),
        f'ALTER ROLE "{ROLE}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION'
        f" NOBYPASSRLS PASSWORD {secret}",
        f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
        f'GRANT USAGE ON SCHEMA {SCHEMA} TO "{ROLE}"',
        *(part for name, body in FUNCTIONS.items() for part in _function(name, body)),
    ]


def _function(name: str, body: str) -> list[str]:
    return [
        f"CREATE OR REPLACE FUNCTION {SCHEMA}.{name} RETURNS void"
        " LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
        f" AS $function$DECLARE role text := 'gw_' || name; BEGIN{CHECKS}{body}END $function$",
        f"REVOKE ALL ON FUNCTION {SCHEMA}.{name} FROM PUBLIC",
        f'GRANT EXECUTE ON FUNCTION {SCHEMA}.{name} TO "{ROLE}"',
    ]


def _if_missing(role: str, statement: str) -> str:
    condition = f"NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')"
    return f"DO $$ BEGIN IF {condition} THEN {statement}; END IF; END $$"
