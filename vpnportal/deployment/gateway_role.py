"""The role of a gateway in PostgreSQL, as SQL for an administrator of the database.

The portal's own role may make no roles: with that right, code in a web process would have the
rights of every other role, and would run programs as the server.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from vpnportal.deployment.broker_access import gateway_user

# The role that has the rights of `gateway_rights`, and all gateways as members.
GROUP = "vpnportal-gateways"
# PostgreSQL's own (src/include/common/scram-common.h).
SCRAM_ITERATIONS, SALT_BYTES = 4096, 16

REVOKE_OTHERS = """
DO $$ DECLARE other text; BEGIN
    FOR other IN SELECT roleid::regrole FROM pg_auth_members WHERE member = '"{role}"'::regrole
    LOOP EXECUTE format('REVOKE %s FROM "{role}"', other); END LOOP;
END $$;"""


def group_sql() -> str:
    """Return the SQL that makes the group of all gateways, unless it exists."""
    return _if_missing(GROUP, f'CREATE ROLE "{GROUP}" NOLOGIN;')


def add_sql(concentrator: str, password: str | None) -> str:
    """Return the SQL that makes a gateway's role, or makes an existing role right.

    The role is a member of GROUP and of nothing else. Without a password it has none: the server
    knows the user who connects through its socket (`peer` in pg_hba.conf). The SQL holds a verifier
    of the password (RFC 5803), not the password.
    """
    role = gateway_user(concentrator)
    secret = f"'{scram_verifier(password)}'" if password else "NULL"
    return "\n".join(
        (
            "BEGIN;",
            group_sql(),
            _if_missing(role, f'CREATE ROLE "{role}";'),
            f'ALTER ROLE "{role}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION'
            f" NOBYPASSRLS PASSWORD {secret};",
            _revoke_others(role),
            f'GRANT "{GROUP}" TO "{role}";',
            "COMMIT;",
            "",
        )
    )


def remove_sql(concentrator: str) -> str:
    """Return the SQL that ends the connections of a gateway's role and removes the role."""
    role = gateway_user(concentrator)
    end = f"PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}';"
    return "\n".join(
        (
            _if_there(role, f'ALTER ROLE "{role}" NOLOGIN; {end}'),
            f'DROP ROLE IF EXISTS "{role}";',
            "",
        )
    )


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """Return the verifier of an ASCII password that PostgreSQL stores (SCRAM-SHA-256)."""
    salt = salt or os.urandom(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return "SCRAM-SHA-256${}:{}${}:{}".format(SCRAM_ITERATIONS, *parts)


def _if_missing(role: str, statement: str) -> str:
    condition = f"NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')"
    return f"DO $$ BEGIN IF {condition} THEN {statement} END IF; END $$;"


def _if_there(role: str, statements: str) -> str:
    condition = f"EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')"
    return f"DO $$ BEGIN IF {condition} THEN {statements} END IF; END $$;"


def _revoke_others(role: str) -> str:
    """Return the SQL that ends memberships: earlier gateways had the portal's rights."""
    return REVOKE_OTHERS.format(role=role)
