"""PostgreSQL, Redis and nginx of a portal: what `vpnportal setup` writes for them.

Each function changes only what differs, and says what it did.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Collection
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg

from vpnportal.deployment.broker_access import (
    CERTIFICATES_USER,
    PORTAL_USER,
    SIGNER_USER,
    certificates_acl,
    portal_acl,
    signer_acl,
)
from vpnportal.deployment.gateway_role import GROUP, scram_verifier
from vpnportal.enrolment import role_functions
from vpnportal.root_commands import files, programs
from vpnportal.root_commands.certificates import REDIS_UNIT
from vpnportal.root_commands.output import Failure, Output
from vpnportal.root_commands.places import Places
from vpnportal.root_commands.site_settings import Site

DATABASE = "vpnportal"
BROKER_PORT, ENROLMENT_PORT = 6380, "8443"
CONNECT_SECONDS = 10
TEMPLATES = Path("usr/share/vpnportal")
ACL = Path("etc/redis/vpnportal.acl")
POSTGRES_SETTINGS = """\
# Written by `vpnportal setup`. Gateways need TLS, a password and a certificate.
listen_addresses = '{address}'
ssl = on
ssl_cert_file = '{certificate}'
ssl_key_file = '{certificate}'
ssl_ca_file = '{authority}'
"""
# Each part of the database, after the question if it is there.
DATABASE_PARTS = (
    ("SELECT 1 FROM pg_roles WHERE rolname = 'vpnportal'", "CREATE ROLE vpnportal LOGIN"),
    (
        "SELECT 1 FROM pg_database WHERE datname = 'vpnportal'",
        "CREATE DATABASE vpnportal OWNER vpnportal ENCODING 'UTF8' TEMPLATE template0",
    ),
)
ACCESS_LINE = f"hostssl {DATABASE} +{GROUP} {{network}} scram-sha-256 clientcert=verify-full"


def set_up_database(site: Site, output: Output, places: Places) -> None:
    """Prepare the PostgreSQL of this machine: settings, roles, database, functions."""
    folder = _cluster(places)
    settings = POSTGRES_SETTINGS.format(
        address=site.address, certificate=places.server("postgres"), authority=places.authority
    )
    changed = files.write(folder / "conf.d" / "vpnportal.conf", settings.encode(), files.PUBLIC)
    access = folder / "pg_hba.conf"
    lines = [line for line in access.read_text().splitlines() if f"+{GROUP}" not in line]
    text = "\n".join([*lines, ACCESS_LINE.format(network=site.network)]) + "\n"
    is_access_new = files.write(access, text.encode(), 0o640, "postgres")
    # A new address counts from the next start only.
    if changed:
        programs.systemctl("restart", "postgresql.service")
    elif is_access_new:
        programs.systemctl("reload", "postgresql.service")
    for question, statement in DATABASE_PARTS:
        if not _sql(question):
            _sql(statement)
            changed = True
    _sql(*role_functions.statements())
    output.say(f"PostgreSQL is {_ready(changed or is_access_new)}, with the database {DATABASE}.")


def write_sql_for_administrator(
    url: str, signer_password: str, output: Output, places: Places
) -> None:
    """Write the SQL that the administrator of another machine's PostgreSQL runs with psql.

    `url` is that of the portal. The SQL has verifiers of the passwords (RFC 5802).
    """
    parts = urlsplit(url)
    role, database = unquote(parts.username or ""), unquote(parts.path[1:])
    verifier = scram_verifier(unquote(parts.password or ""))
    lines = [
        f"SELECT format({_literal(template)}, {', '.join(map(_literal, values))}) "
        f"WHERE NOT EXISTS ({question.format(_literal(values[0]))}) \\gexec"
        for template, values, question in (
            (
                "CREATE ROLE %I LOGIN PASSWORD %L",
                (role, verifier),
                "SELECT FROM pg_roles WHERE rolname = {}",
            ),
            (
                "CREATE DATABASE %I OWNER %I ENCODING 'UTF8' TEMPLATE template0",
                (database, role),
                "SELECT FROM pg_database WHERE datname = {}",
            ),
        )
    ]
    lines += [f"{text};" for text in role_functions.statements(scram_verifier(signer_password))]
    file = places.etc / "enrolment.sql"
    files.write(file, ("\n".join(lines) + "\n").encode(), files.SECRET)
    output.say(f"{file} makes the roles, the database and functions for gateways.")


def check_databases(*urls: str) -> None:
    """Raise Failure if the PostgreSQL of another machine does not accept the portal yet."""
    for url in urls:
        try:
            psycopg.connect(url, connect_timeout=CONNECT_SECONDS).close()
        except psycopg.Error as error:
            reason = " ".join(str(error).split())
            raise Failure(
                f"The database does not accept the portal yet: {reason}. Do what the chapter "
                "PostgreSQL of /usr/share/doc/vpnportal/operations.md says, and repeat the command."
            ) from None


def _literal(text: str) -> str:
    """Return a text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def set_up_broker(
    site: Site, known: Collection[str], output: Output, places: Places
) -> dict[str, str]:
    """Prepare Redis. Return the new passwords of its users.

    The users in `known` have a password in the settings already, and keep it if Redis has them.
    """
    template = (places.root / TEMPLATES / "redis.conf").read_text()
    text = template.replace("@ADDRESS@", site.address)
    file = places.root / "etc/redis/redis-vpnportal.conf"
    changed = files.write(file, text.encode(), files.PUBLIC)
    acl = places.root / ACL
    lines = _read_own(acl).splitlines() or ["user default off"]
    makers = {
        PORTAL_USER: portal_acl,
        SIGNER_USER: signer_acl,
        CERTIFICATES_USER: certificates_acl,
    }
    missing = {
        name: secrets.token_hex(24)
        for name in makers
        if name not in known or not any(line.startswith(f"user {name} ") for line in lines)
    }
    if missing:
        lines = [line for line in lines if line.split()[1:2] not in [[name] for name in missing]]
        lines += [makers[name](password) for name, password in missing.items()]
        files.write(acl, ("\n".join(lines) + "\n").encode(), files.SECRET, "redis")
    if programs.is_active("redis-server.service"):
        programs.systemctl("disable", "--now", "redis-server.service")
        output.say("Debian's own instance of Redis is off: the portal has one of its own.")
    programs.systemctl("enable", REDIS_UNIT)
    is_new = changed or bool(missing) or not programs.is_active(REDIS_UNIT)
    if is_new:
        programs.systemctl("restart", REDIS_UNIT)
    output.say(f"Redis is {_ready(is_new)}, as {REDIS_UNIT}.")
    return missing


def set_up_web_server(site: Site, output: Output, places: Places) -> None:
    """Write the sites of nginx: the pages, and the port of gateways. An existing file stays."""
    sites = places.root / "etc/nginx"
    if not sites.is_dir():
        output.say(
            "There is no nginx here, and gateways need its port 8443: apt-get install nginx, and "
            "repeat the command."
        )
        return
    template = (places.root / TEMPLATES / "nginx.conf").read_text()
    file = sites / "sites-available/vpnportal"
    text = template.replace("@NAME@", site.name)
    earlier = file.read_text() if file.exists() else ""
    changed = ENROLMENT_PORT not in earlier
    if changed:
        if earlier:
            old = file.with_name("vpnportal.old")
            files.write(old, earlier.encode(), files.PUBLIC)
            output.say(f"The earlier site of nginx is in {old}: take your own changes from there.")
        files.write(file, text.encode(), files.PUBLIC)
    link, default = sites / "sites-enabled/vpnportal", sites / "sites-enabled/default"
    if not link.is_symlink():
        link.symlink_to("../sites-available/vpnportal")
        changed = True
    if default.is_symlink():
        default.unlink()
    programs.run("nginx", "-t")
    if changed:
        programs.systemctl("enable", "nginx.service")
        programs.systemctl("restart", "nginx.service")
    output.say(f"nginx is {_ready(changed)}: https://{site.name}/")


def _cluster(places: Places) -> Path:
    """Return the folder of the settings of the newest cluster `main`. Raises Failure."""
    found = list((places.root / "etc/postgresql").glob("*/main"))
    if not found:
        raise Failure(
            "There is no PostgreSQL here: apt-get install postgresql, or give --database a URL."
        )
    return max(found, key=lambda folder: int(re.sub(r"\D", "", folder.parent.name) or 0))


def _sql(*statements: str) -> str:
    """Run SQL as the superuser of the local PostgreSQL, and return the rows."""
    return programs.run(
        *("runuser", "-u", "postgres", "--", "psql", "--quiet", "--no-psqlrc", "--tuples-only"),
        *("--no-align", "--set", "ON_ERROR_STOP=on", role_functions.DATABASE),
        text="\n".join(f"{statement};" for statement in statements),
    ).strip()


def _read_own(file: Path) -> str:
    """Return the text of a file in a folder of Redis's user, whose links are not followed."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}.") from None
    with os.fdopen(descriptor) as opened:
        return opened.read()


def _ready(changed: bool) -> str:
    return "set up" if changed else "as it was"
