"""`vpnportal setup`: from the installed packages to a portal with its first operator.

It is safe to repeat: a second run keeps keys, passwords and certificates, and changes only what is
missing or was specified again.
"""

from __future__ import annotations

import argparse
import secrets
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

from vpnportal.deployment.broker_access import CERTIFICATES_USER, PORTAL_USER, SIGNER_USER
from vpnportal.enrolment.authority import make_authority
from vpnportal.enrolment.role_functions import DATABASE as ROLES_DATABASE
from vpnportal.enrolment.role_functions import ROLE
from vpnportal.root_commands import certificates, files, programs, setup_services, site_settings
from vpnportal.root_commands.output import Failure, Output
from vpnportal.root_commands.places import HERE, Places
from vpnportal.root_commands.setup_services import BROKER_PORT, DATABASE
from vpnportal.root_commands.site_settings import DATABASE_PORT, LOCAL, Site

UNITS = (
    *("vpnportal.target", "vpnportal-web.socket", *programs.PORTAL_SERVICES),
    *("vpnportal-backup.timer", "vpnportal-enrolment.socket", "vpnportal-certificates.timer"),
)
SOCKET_FOLDER = "/run/postgresql"
# The variable with the URL of each user of Redis.
BROKER_VARIABLES = {
    PORTAL_USER: "VPNPORTAL_BROKER",
    SIGNER_USER: "VPNPORTAL_ENROLMENT_BROKER",
    CERTIFICATES_USER: "VPNPORTAL_BROKER_CERTIFICATES",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `vpnportal setup`."""
    site_settings.add_arguments(parser)
    parser.add_argument(
        "--no-start", action="store_true", help="stop before the services, to restore a backup"
    )
    parser.add_argument("--test-mail", metavar="ADDRESS", help="send a mail there at the end")


def run(options: argparse.Namespace, output: Output, places: Places = HERE) -> None:
    """Set up this machine as a portal. Raises Failure; then the command can be repeated."""
    if places.gateway_settings.exists():
        raise Failure("This machine is a gateway. A portal is another machine.")
    site = site_settings.read(options, places)
    now = datetime.now(UTC)
    programs.manage("keys")
    output.say("The key files are in /etc/vpnportal/keys. Keep a copy apart from the backups.")
    _make_authority(site, now, output, places)
    if certificates.make_portal([site.name, site.address], now, output, places):
        _let_services_read(output)
    if site.database == LOCAL:
        setup_services.set_up_database(site, output, places)
    else:
        certificates.make_database(_host(site.database), now, output, places)
    passwords = setup_services.set_up_broker(site, _known_users(places), output, places)
    _write_settings(site, passwords, output, places)
    setup_services.set_up_web_server(site, output, places)
    if site.database != LOCAL:
        setup_services.check_databases(*_urls(places))
    if options.no_start:
        output.say("Nothing was started: restore a backup now, then run `vpnportal setup` again.")
        return
    programs.systemctl("enable", *UNITS)
    programs.systemctl("start", *UNITS)
    output.say("The services of the portal run, and start with the machine.")
    _make_operator(site, output)
    if options.test_mail:
        output.say(programs.manage("sendtestmail", options.test_mail).strip())


def _make_authority(site: Site, now: datetime, output: Output, places: Places) -> None:
    """Make the authority, unless it is there. Raises Failure if half of it is."""
    key, certificate = places.authority_key, places.authority
    if key.exists() and certificate.exists():
        return
    if key.exists() or certificate.exists():
        missing = certificate if key.exists() else key
        raise Failure(
            f"{missing} is missing: restore it from the backup of the keys. To begin with a new "
            "authority, remove the other half; then each gateway must join again."
        )
    key_pem, certificate_pem = make_authority(site.name, now)
    files.write(key, key_pem, files.SECRET)
    files.write(certificate, certificate_pem, files.PUBLIC)
    output.say(f"The authority of this installation is made: {certificate}")


def _let_services_read(output: Output) -> None:
    """Let services that run already read new certificates."""
    certificates.reload_readers()
    if programs.is_active(certificates.REDIS_UNIT):
        programs.systemctl("restart", certificates.REDIS_UNIT)


def _write_settings(site: Site, passwords: dict[str, str], output: Output, places: Places) -> None:
    """Write the settings of the portal, the signer and the renewal. Earlier values stay."""

    def broker(user: str) -> dict[str, str]:
        if user not in passwords:
            return {}
        url = f"rediss://{user}:{passwords[user]}@{site.name}:{BROKER_PORT}/0"
        return {BROKER_VARIABLES[user]: url}

    authority = {"VPNPORTAL_BROKER_CA": str(places.authority)}
    database, roles, address = _databases(site, output, places)
    changed = _merge(
        places.portal_settings,
        {
            "VPNPORTAL_DATABASE_URL": database,
            **authority,
            "VPNPORTAL_HOSTS": site.name,
            "VPNPORTAL_ORIGINS": f"https://{site.name}",
            "VPNPORTAL_BEHIND_PROXY": "true",
        },
        {site_settings.ADDRESS: site.address, site_settings.NETWORK: site.network}
        | ({} if site.database == LOCAL else {"VPNPORTAL_DATABASE_URL": database})
        | broker(PORTAL_USER)
        | ({"VPNPORTAL_MAIL": site.mail} if site.mail else {})
        | ({"VPNPORTAL_MAIL_FROM": site.email} if site.email else {}),
    )
    _merge(
        places.signer_settings,
        {
            "VPNPORTAL_ENROLMENT_DATABASE": roles,
            **authority,
            "VPNPORTAL_GATEWAY_DATABASE": address,
            "VPNPORTAL_GATEWAY_BROKER": f"rediss://{site.name}:{BROKER_PORT}/0",
        },
        broker(SIGNER_USER),
    )
    _merge(places.certificate_settings, {}, broker(CERTIFICATES_USER))
    if changed and programs.is_active("vpnportal-web.service"):
        programs.systemctl("try-restart", *programs.PORTAL_SERVICES)
    state = "written" if changed else "as they were"
    output.say(f"The settings are {state}: {places.portal_settings}")


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _urls(places: Places) -> tuple[str, str]:
    """Return the URLs of the database for the portal and for the signer."""
    portal, signer = map(files.read_settings, (places.portal_settings, places.signer_settings))
    return portal["VPNPORTAL_DATABASE_URL"], signer["VPNPORTAL_ENROLMENT_DATABASE"]


def _known_users(places: Places) -> set[str]:
    """Return the users of Redis whose password is in the settings."""
    variables = {
        name
        for file in (places.portal_settings, places.signer_settings, places.certificate_settings)
        for name in files.read_settings(file)
    }
    return {user for user, name in BROKER_VARIABLES.items() if name in variables}


def _merge(file: Path, defaults: dict[str, str], given: dict[str, str]) -> bool:
    """Write settings: `given` replaces earlier values, and `defaults` does not."""
    return files.write_settings(file, {**defaults, **files.read_settings(file), **given})


def _databases(site: Site, output: Output, places: Places) -> tuple[str, str, str]:
    """Return the URLs of the database: for the portal, for the signer, and for gateways."""
    if site.database == LOCAL:
        address = f"postgresql://{site.name}:{DATABASE_PORT}/{DATABASE}"
        return (
            f"postgresql:///{DATABASE}?host={SOCKET_FOLDER}",
            f"postgresql:///{ROLES_DATABASE}?host={SOCKET_FOLDER}",
            address,
        )
    parts = urlsplit(site.database)
    host = f"{parts.hostname}:{parts.port or DATABASE_PORT}"
    known = files.read_settings(places.signer_settings).get("VPNPORTAL_ENROLMENT_DATABASE")
    if known:
        return site.database, known, f"postgresql://{host}{parts.path}"
    password = secrets.token_hex(24)
    setup_services.write_sql_for_administrator(site.database, password, output, places)
    query = f"?{parts.query}" if parts.query else ""
    roles = f"postgresql://{quote(ROLE)}:{password}@{host}/{ROLES_DATABASE}{query}"
    return site.database, roles, f"postgresql://{host}{parts.path}"


def _make_operator(site: Site, output: Output) -> None:
    """Make the first operator, unless there is one, and print the password once."""
    made = programs.manage("operator", site.operator, f"--email={site.email}", "--first").strip()
    if not made:
        output.say("There is an operator already.")
        return
    output.result(operator=site.operator, password=made)
    output.say(
        f"Sign in at https://{site.name}/ as {site.operator} with the password {made}, and change "
        "it under Profile. It is not shown again."
    )
