"""The settings of a new portal: from flags, from the portal's own files, or asked for."""

from __future__ import annotations

import argparse
import getpass
import ipaddress
import json
import re
import secrets
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from vpnportal.root_commands import files, programs
from vpnportal.root_commands.output import Failure
from vpnportal.root_commands.places import Places

HOST = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
USER = re.compile(r"[A-Za-z0-9@.+_-]{1,150}")
EMAIL = re.compile(r"[^@\s:/]{1,64}@[^@\s:/]{1,253}")
MAIL_SCHEMES = ("smtp", "smtps")
LOCAL = "local"
DATABASE_PORT = 5432
DATABASE_FORM = (
    "--database takes local or postgresql://USER@HOST:5432/NAME. A password belongs in "
    "--database-password-file, because others may read a command line."
)
# Variables of portal.env that only `vpnportal setup` reads.
ADDRESS, NETWORK = "VPNPORTAL_ADDRESS", "VPNPORTAL_GATEWAYS"


@dataclass(frozen=True, slots=True)
class Site:
    """A portal: its name, its address in the management network, and that network.

    `database` is a URL of PostgreSQL, or LOCAL. `mail` is a URL such as
    smtp://portal:secret@mail.example.net:587, or "".
    """

    name: str
    address: str
    network: str
    database: str
    operator: str
    email: str
    mail: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the settings, which are all optional: what is missing is asked for."""
    parser.add_argument("--name", help="DNS name of the portal, such as vpn.example.net")
    parser.add_argument("--address", help="its IPv4 address in the management network")
    parser.add_argument(
        "--gateways", metavar="NETWORK", help="of the gateways; without it, that of --address"
    )
    parser.add_argument("--operator", help="user name of the first operator; admin without it")
    parser.add_argument("--email", help="of the first operator, and the sender of mail")
    parser.add_argument(
        "--mail-server",
        metavar="URL",
        help="smtp://USER@HOST:587 with STARTTLS, or smtps://USER@HOST:465",
    )
    parser.add_argument(
        "--mail-password-file", metavar="FILE", type=Path, help="with the password of its user"
    )
    parser.add_argument(
        "--database",
        metavar="local|URL",
        help="PostgreSQL of this machine, which is the default, or postgresql://USER@HOST:5432/NAME",
    )
    parser.add_argument(
        "--database-password-file",
        metavar="FILE",
        type=Path,
        help="with the password of its user; without it one is made",
    )
    parser.add_argument("--no-input", action="store_true", help="ask for nothing")


def read(options: argparse.Namespace, places: Places) -> Site:
    """Return the settings. Raises Failure for one that is missing or wrong."""
    earlier = files.read_settings(places.portal_settings)
    asks = not options.no_input and sys.stdin.isatty()
    known = earlier.get("VPNPORTAL_HOSTS", "").split(",")[0]
    name = options.name or known or _ask("DNS name of the portal", asks, "--name")
    if not HOST.fullmatch(name):
        raise Failure(f"--name {name} is no DNS name in lower case, such as vpn.example.net.")
    if known and known != name:
        raise Failure(f"This machine is the portal {known} already: leave --name out.")
    address = options.address or earlier.get(ADDRESS) or _address_of(name) or ""
    address = address or _ask("Address in the management network", asks, "--address")
    own_network = _network_of(address)
    same_address = address == earlier.get(ADDRESS)
    network = options.gateways or (same_address and earlier.get(NETWORK)) or own_network
    _check_network(network)
    operator = options.operator or "admin"
    if not USER.fullmatch(operator):
        raise Failure("--operator takes letters, digits and @.+-_ only.")
    if options.email and not EMAIL.fullmatch(options.email):
        raise Failure(f"--email {options.email} is no address such as admin@example.net.")
    database = _database(options, earlier, places)
    return Site(name, address, network, database, operator, options.email or "", _mail(options))


def _database(options: argparse.Namespace, earlier: dict[str, str], places: Places) -> str:
    """Return the URL of a PostgreSQL on another machine with a password, or LOCAL."""
    known = earlier.get("VPNPORTAL_DATABASE_URL", "")
    known = known if urlsplit(known).hostname else ""
    given = options.database or known or LOCAL
    if given in (LOCAL, known):
        return str(given)
    try:
        parts = urlsplit(given)
        port = parts.port or DATABASE_PORT
    except ValueError:
        raise Failure(DATABASE_FORM) from None
    if (
        parts.scheme != "postgresql"
        or parts.password
        or not all((parts.username, parts.hostname, parts.path.strip("/")))
    ):
        raise Failure(DATABASE_FORM)
    password = secrets.token_hex(24)
    if options.database_password_file:
        password = _password_in("--database-password-file", options.database_password_file)
    elif known:
        password = unquote(urlsplit(known).password or "")
    # Gateways verify the server by the authority of the installation, and so does the portal.
    query = parts.query or f"sslmode=verify-full&sslrootcert={places.authority}"
    user = f"{parts.username}:{quote(password, safe='')}"
    return urlunsplit((parts.scheme, f"{user}@{parts.hostname}:{port}", parts.path, query, ""))


def _password_in(flag: str, file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Failure(f"{flag} {file} cannot be read: {reason}.") from None


def _ask(question: str, asks: bool, flag: str) -> str:
    if not asks:
        raise Failure(f"{flag} is missing.")
    return input(f"{question}: ").strip()


def _address_of(name: str) -> str | None:
    """Return the address of this machine to which a name leads, or None."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(name, None, socket.AF_INET)}
    except OSError:
        return None
    own = found & _interfaces().keys()
    return own.pop() if len(own) == 1 else None


def _network_of(address: str) -> str:
    network = _interfaces().get(address)
    if network is None:
        raise Failure(
            f"--address {address} is none of this machine's: {', '.join(_interfaces()) or 'none'}."
        )
    return network


def _interfaces() -> dict[str, str]:
    """Return the IPv4 addresses of this machine, each with its network."""
    links = json.loads(programs.run("ip", "-json", "-4", "address", "show"))
    found = [entry for link in links for entry in link.get("addr_info", ())]
    interfaces = [ipaddress.IPv4Interface(f"{e['local']}/{e['prefixlen']}") for e in found]
    return {str(each.ip): str(each.network) for each in interfaces if not each.is_loopback}


def _check_network(network: str) -> None:
    try:
        ipaddress.IPv4Network(network)
    except ValueError:
        raise Failure(f"--gateways {network} is no network such as 10.77.0.0/24.") from None


def _mail(options: argparse.Namespace) -> str:
    if not options.mail_server:
        return ""
    parts = urlsplit(options.mail_server)
    if parts.scheme not in MAIL_SCHEMES or not parts.hostname or parts.password:
        raise Failure(
            "--mail-server takes smtp://USER@HOST:587 or smtps://USER@HOST:465. The password "
            "belongs in --mail-password-file, because others may read a command line."
        )
    if not parts.username:
        return str(options.mail_server)
    if options.mail_password_file:
        password = _password_in("--mail-password-file", options.mail_password_file)
    elif options.no_input or not sys.stdin.isatty():
        raise Failure("--mail-password-file is missing: the mail server has a user.")
    else:
        password = getpass.getpass(f"Password of {parts.username} at {parts.hostname}: ")
    user = f"{quote(parts.username, safe='')}:{quote(password, safe='')}@"
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, f"{user}{parts.hostname}{port}", "", "", ""))
