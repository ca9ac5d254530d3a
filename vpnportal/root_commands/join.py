"""`vpnportal gateway join FILE`: make this machine a gateway of a portal.

Its keys and passwords are made here. The portal gets public keys, a verifier and a digest.
Nothing on this machine changes before the portal has answered.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from vpnportal.deployment.broker_access import digest, gateway_user
from vpnportal.deployment.gateway_role import scram_verifier
from vpnportal.enrolment.authority import new_key, pem_of_key, signing_request
from vpnportal.enrolment.key_files import new_gateway_key
from vpnportal.enrolment.messages import NAME
from vpnportal.root_commands import files, programs
from vpnportal.root_commands.output import Failure, Output
from vpnportal.root_commands.places import HERE, Places
from vpnportal.root_commands.portal_https import Portal

FIELDS = ("portal", "name", "authority", "token", "until")
ADDRESS = re.compile(r"https://[A-Za-z0-9.-]{1,253}(:\d{1,5})?")
# The address of a service, without a user.
SERVICE = re.compile(r"(postgresql|rediss)://[A-Za-z0-9.-]{1,253}:\d{1,5}/[a-z0-9_-]{1,63}")
MAX_FILE = 16 << 10
UNITS = ("worker", "monitor", "routes")
# Checks of `vpnportal doctor` that tell whether a gateway works, and the time until they must.
ESSENTIAL = ("database", "schema", "broker", "keys", "concentrator", "units")
WAIT_SECONDS, PAUSE_SECONDS = 60, 3


@dataclass(frozen=True, slots=True)
class Invitation:
    """The content of a file from `vpnportal gateway add`."""

    portal: str
    name: str
    authority: str
    token: str
    until: str


def read_file(file: Path) -> Invitation:
    """Return the content of a file from `vpnportal gateway add`. Raises Failure."""
    try:
        with file.open("rb") as opened:
            values: Any = json.loads(opened.read(MAX_FILE))
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        values = None
    is_right = isinstance(values, dict) and values.keys() == set(FIELDS)
    if not is_right or not all(isinstance(value, str) for value in values.values()):
        raise Failure(f"{file} is not a file from `vpnportal gateway add`, or not all of it.")
    invitation = Invitation(**values)
    if not NAME.fullmatch(invitation.name) or not ADDRESS.fullmatch(invitation.portal):
        raise Failure(f"{file} has another name or address than `vpnportal gateway add` writes.")
    return invitation


def check_machine(name: str, places: Places) -> None:
    """Raise Failure if this machine cannot become the gateway `name`."""
    if places.portal_settings.exists():
        raise Failure(
            "This machine is a portal: it has /etc/vpnportal/portal.env. A gateway is another one."
        )
    other = files.read_settings(places.gateway_settings).get("VPNPORTAL_CONCENTRATOR", name)
    if other != name:
        raise Failure(
            f"This machine is the gateway {other} already. Remove that first: `vpnportal gateway "
            f"remove {other}` on its portal, then here `systemctl disable --now "
            f"'vpnportal-*@{other}'` and `rm /etc/vpnportal/gateway.env`."
        )


def join(
    file: Path,
    output: Output,
    places: Places = HERE,
    ask: Callable[[Portal, str, dict[str, str]], dict[str, Any]] = Portal.ask,
) -> str:
    """Let the portal accept this machine, write its files, and return its name. Raises Failure."""
    invitation = read_file(file)
    name = invitation.name
    check_machine(name, places)
    key = new_key()
    passwords = [secrets.token_hex(24) for _ in range(2)]
    gateway_key, public_key = new_gateway_key()
    answer = ask(
        Portal(invitation.portal, invitation.authority),
        "join",
        {
            "name": name,
            "token": invitation.token,
            "csr": signing_request(key, gateway_user(name)).decode(),
            "verifier": scram_verifier(passwords[0]),
            "broker_digest": digest(passwords[1]),
            "envelope_key": public_key,
        },
    )
    output.say(f"The portal has accepted {name}.")
    settings = gateway_settings(invitation, answer, passwords)
    certificate = str(answer["certificate"]).encode()
    files.write(places.authority, invitation.authority.encode(), files.PUBLIC)
    files.write(places.client, pem_of_key(key) + certificate, files.SECRET)
    _add_line(places.keys / "gateway.key", gateway_key)
    line = f"{answer['fingerprint_key']}\n"
    files.write(places.keys / "concentrator.key", line.encode(), files.SECRET)
    # The units start with this file only, so it comes last.
    files.write_settings(places.gateway_settings, settings)
    output.say("Its keys, certificate and passwords are in /etc/vpnportal. Only root reads them.")
    return name


def gateway_settings(
    invitation: Invitation, answer: dict[str, Any], passwords: list[str]
) -> dict[str, str]:
    """Return the variables of gateway.env. Raises Failure if an address is none."""
    database, broker = str(answer.get("database")), str(answer.get("broker"))
    if not SERVICE.fullmatch(database) or not SERVICE.fullmatch(broker):
        raise Failure("The portal answers with an address of database or broker that is none.")
    user, authority = gateway_user(invitation.name), HERE.authority
    parameters = f"sslmode=verify-full&sslrootcert={authority}&application_name={invitation.name}"
    return {
        "VPNPORTAL_CONCENTRATOR": invitation.name,
        "VPNPORTAL_PORTAL": invitation.portal,
        "VPNPORTAL_DATABASE_URL": f"{_with_user(database, user, passwords[0])}?{parameters}",
        "VPNPORTAL_BROKER": _with_user(broker, user, passwords[1]),
        "VPNPORTAL_BROKER_CA": str(authority),
    }


def start(name: str, output: Output) -> None:
    """Start the services of a gateway, and wait until they work. Raises Failure."""
    units = [f"vpnportal-{unit}@{name}.service" for unit in UNITS]
    programs.systemctl("enable", "vpnportal.target", "vpnportal-certificates.timer", *units)
    programs.systemctl("start", "vpnportal.target", "vpnportal-certificates.timer")
    # They may run with the keys and passwords of an earlier join.
    programs.systemctl("restart", *units)
    output.say("Its services are started. Waiting until they work …")
    deadline = time.monotonic() + WAIT_SECONDS
    while problems := _problems():
        if time.monotonic() > deadline:
            raise Failure(
                f"{name} does not work yet: {problems[0]} `vpnportal doctor` has the whole list; "
                "the portal has accepted this machine, so this command need not be repeated."
            )
        time.sleep(PAUSE_SECONDS)
    output.say(f"{name} works. Look at `vpnportal doctor` on both machines.")


def _problems() -> list[str]:
    """Return the red findings of `vpnportal doctor`, each with its advice."""
    text = programs.output_of(programs.VPNPORTAL, "doctor", "--json", "--only", *ESSENTIAL)
    try:
        found = json.loads(text)
    except ValueError:
        return ["`vpnportal doctor` does not run."]
    red = [each for each in found if each["state"] == "red"]
    return [f"{each['name']}: {each['found']} {each['advice']}" for each in red]


def _add_line(file: Path, line: str) -> None:
    """Put a key before those of a file, which open what was sealed for them."""
    earlier = file.read_text() if file.exists() else ""
    files.write(file, f"{line}\n{earlier}".encode(), files.SECRET)


def _with_user(address: str, user: str, password: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=f"{quote(user)}:{password}@{parts.netloc}"))
