"""`vpnportal gateway add`, `remove` and `list`, on the portal."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vpnportal.enrolment import client
from vpnportal.enrolment.messages import NAME
from vpnportal.root_commands import files, programs
from vpnportal.root_commands.output import Failure, Output
from vpnportal.root_commands.places import HERE, Places

OK = 200
ENROLMENT_ADDRESS = "https://{}:8443"


def add(
    name: str,
    networks: list[str],
    file: str,
    output: Output,
    places: Places = HERE,
    manage: Callable[..., str] = programs.manage,
) -> None:
    """Make or check the concentrator, and write the file for its machine. Raises Failure.

    `networks` are the options of `manage.py concentrator add`. A file - is the standard output.
    """
    _check_name(name)
    host = _portal_name(places)
    output.say(manage("concentrator", "add", name, *networks).strip())
    opened = ask_signer("open", {"name": name})
    until = datetime.fromtimestamp(opened["until"], UTC)
    content = {
        "portal": ENROLMENT_ADDRESS.format(host),
        "name": name,
        "authority": opened["authority"],
        "token": opened["token"],
        "until": f"{until:%Y-%m-%d %H:%M} UTC",
    }
    text = json.dumps(content, indent=1) + "\n"
    if file == "-":
        output.result(file=content)
        output.say(text)
        return
    path = Path(file or f"{name}.join").absolute()
    files.write(path, text.encode(), files.SECRET)
    output.result(path=str(path), until=content["until"])
    output.say(
        f"{path} is for the machine of {name}, once, until {content['until']}. Copy it there, and "
        f"run: vpnportal gateway join {path.name}"
    )
    if opened["has_joined"]:
        output.say(f"The machine that is {name} now stays it until another one joins.")


def remove(
    name: str,
    with_tunnels: bool,
    output: Output,
    manage: Callable[..., str] = programs.manage,
) -> None:
    """End the rights of a gateway at once. Raises Failure, also if it has tunnels."""
    _check_name(name)
    option = ["--with-tunnels"] if with_tunnels else []
    output.say(manage("concentrator", "check_removal", name, *option).strip())
    answer = ask_signer("remove", {"name": name})
    output.result(was_there=answer["was_there"])
    noted = manage("concentrator", "removed", name).strip()
    if not noted and not answer["was_there"]:
        raise Failure(f"There is no gateway {name}. `vpnportal gateway list` shows those that are.")
    output.say(noted)
    output.say(
        f"The role, the user and the certificate of {name} are no longer valid, and its "
        "connections have ended. Its charon and its tunnels run until that machine is switched off."
    )


def show(output: Output) -> None:
    """Print the gateways that the signer knows."""
    gateways = ask_signer("list", {})["gateways"]
    output.result(gateways=gateways)
    for gateway in gateways:
        until = datetime.fromtimestamp(gateway["certificate_until"], UTC)
        state = f"certificate until {until:%Y-%m-%d}" if gateway["has_joined"] else "has not joined"
        output.say(f"{gateway['name']}: {state}{', a file is open' * bool(gateway['token_until'])}")
    if not gateways:
        output.say("No gateway was added. `vpnportal gateway add --help` says how.")


def ask_signer(operation: str, values: dict[str, str]) -> dict[str, Any]:
    """Return the signer's answer to root. Raises Failure."""
    try:
        answer = client.ask(operation, values)
    except client.SignerAway as error:
        raise Failure(str(error)) from None
    if answer.get("status") != OK:
        raise Failure(str(answer.get("error")))
    return answer


def _portal_name(places: Places) -> str:
    hosts = files.read_settings(places.portal_settings).get("VPNPORTAL_HOSTS", "")
    if not hosts:
        raise Failure("This machine is no portal yet: run `vpnportal setup` on the portal.")
    return hosts.split(",")[0].strip()


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise Failure(f"{name!r} is no name: up to 40 lower-case letters, digits and -.")
