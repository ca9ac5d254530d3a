"""`python -m vpnportal.root_commands`: the commands of `vpnportal` that need root, and its help."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from vpnportal.root_commands import certificates, files, gateways, join, setup
from vpnportal.root_commands.output import Failure, Output
from vpnportal.root_commands.places import HERE

# The commands for operators, with those of `manage.py`. `manage.py help` lists all of those.
COMMANDS = {
    "setup": "make this machine a portal, step by step; a second run changes only what is missing",
    "gateway add NAME": "write the file with which another machine becomes the gateway NAME",
    "gateway join FILE": "make this machine the gateway of a file from `gateway add`",
    "gateway remove NAME": "end all rights of a gateway at once",
    "gateway list": "show the gateways and the ends of their certificates",
    "status": "show gateways, tunnels, queues and the last backup in a few lines",
    "doctor": "say what is wrong with this portal or gateway, and what to do about it",
    "backup FILE": "write one state of the database to a file",
    "restore FILE": "fill an empty database from a backup",
    "copy": "move an installation from SQLite to PostgreSQL",
    "keys": "make the missing key files; rotate, reseal, status and retire are for a new seal.key",
    "certificates": "show or renew the certificates of this machine",
    "held": "list the tunnels that are newer than a restored backup, and choose a side",
    "check_gateway": "check the settings of a gateway's kernel",
    "gateway_key": "seal for another key of a gateway, after a rotation",
    "operator NAME": "create another operator of the service, and print the password once",
    "audit": "verify the record of events, or print its newest head",
    "summaries": "write again by what the list of tunnels filters and counts",
    "sendtestmail ADDRESS": "try the mail server",
    "apikey": "create, list and revoke the API keys of programs",
    "forget_attempts": "remove the delays after wrong passwords",
}
USAGE_STATUS = 2


class WrongUse(Exception):
    """The reason why the arguments of a command are refused."""


class Parser(argparse.ArgumentParser):
    """Parser that raises WrongUse, so that the refusal can be an object for a program."""

    def error(self, message: str) -> NoReturn:
        raise WrongUse(
            f"{message[0].upper()}{message[1:]}. `{self.prog} --help` has the arguments."
        )


def parser() -> Parser:
    """Return the parser of the commands that need root. It raises WrongUse."""
    top = Parser(prog="vpnportal", add_help=False)
    commands = top.add_subparsers(dest="command", required=True)
    setup.add_arguments(_command(commands, "setup", COMMANDS["setup"]))
    actions = _command(commands, "gateway", "add, join, remove and list gateways").add_subparsers(
        dest="action", required=True
    )
    add = _command(actions, "add", COMMANDS["gateway add NAME"])
    add.add_argument("name", help="of the concentrator, such as hou02-vpn01")
    add.add_argument("--public-address", help="IPv4 address to which customers' peers connect")
    add.add_argument("--datacenter", help="short name of the location, such as hou02")
    add.add_argument("--location", help="long name of a new location, such as 'Houston 2'")
    pools = "addresses for new tunnels, such as %s; may be repeated"
    add.add_argument(
        "--hosted-peers", action="append", metavar="NETWORK", help=pools % "203.0.113.16/28"
    )
    add.add_argument(
        "--static-nat", action="append", metavar="NETWORK", help=pools % "10.1.255.0/24"
    )
    add.add_argument("--file", default="", help="to write; NAME.join without it, - is the output")
    joined = _command(actions, "join", COMMANDS["gateway join FILE"])
    joined.add_argument("file", type=Path)
    remove = _command(actions, "remove", COMMANDS["gateway remove NAME"])
    remove.add_argument("name")
    remove.add_argument(
        "--with-tunnels", action="store_true", help="also if it has tunnels, which stay on it"
    )
    _command(actions, "list", COMMANDS["gateway list"])
    certificate_actions = _command(
        commands, "certificates", COMMANDS["certificates"]
    ).add_subparsers(dest="action", required=True)
    _command(certificate_actions, "show", "print the ends of this machine's certificates")
    renew = _command(certificate_actions, "renew", "renew those after two thirds of their life")
    renew.add_argument("--force", action="store_true", help="renew them now")
    return top


def main(arguments: list[str]) -> int:
    """Run a command. Return 0, 1 after a failure, or 2 after a wrong use."""
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        _print_help()
        return 0 if arguments else USAGE_STATUS
    output = Output(is_json="--json" in arguments)
    try:
        options = parser().parse_args(arguments)
    except WrongUse as wrong:
        output.end(str(wrong))
        return USAGE_STATUS
    try:
        if os.geteuid() != 0:
            raise Failure("vpnportal needs root, who alone may read the keys of this machine.")
        # The timer may renew a certificate while a person does.
        with files.locked(HERE.etc):
            _run(options, output)
    except Failure as failure:
        output.end(str(failure))
        return 1
    except (EOFError, KeyboardInterrupt):
        output.end("Stopped. What is done stays done: repeat the command.")
        return 1
    except OSError as error:
        output.end(f"{error.filename or 'A file'}: {error.strerror}. Then repeat the command.")
        return 1
    output.end()
    return 0


def _run(options: argparse.Namespace, output: Output) -> None:
    match options.command, getattr(options, "action", ""):
        case "setup", _:
            setup.run(options, output)
        case "gateway", "add":
            gateways.add(options.name, _networks(options), options.file, output)
        case "gateway", "join":
            name = join.join(options.file, output)
            join.start(name, output)
        case "gateway", "remove":
            gateways.remove(options.name, options.with_tunnels, output)
        case "gateway", "list":
            gateways.show(output)
        case "certificates", "show":
            certificates.show(output)
        case "certificates", "renew":
            certificates.renew(output, force=options.force)


def _networks(options: argparse.Namespace) -> list[str]:
    """Return the options of `manage.py concentrator add`."""
    pairs = [
        ("--public-address", options.public_address),
        ("--datacenter", options.datacenter),
        ("--location", options.location),
        *(("--hosted-peers", network) for network in options.hosted_peers or ()),
        *(("--static-nat", network) for network in options.static_nat or ()),
    ]
    return [f"{name}={value}" for name, value in pairs if value]


def _command(commands: argparse._SubParsersAction[Parser], name: str, text: str) -> Parser:
    made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    made.add_argument("--json", action="store_true", help="print one object for a program")
    return made


def _print_help() -> None:
    print("vpnportal COMMAND [ARGUMENT]…; `vpnportal COMMAND --help` has the arguments.\n")
    for name, text in COMMANDS.items():
        print(f"  {name:<21} {text}")
    print("\nWith --json each prints one JSON document, also when it refuses.")
    print("The status is 0, 1 after a failure, and 2 after a wrong use; doctor and status: 1 for")
    print("something yellow, 2 for something red.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
