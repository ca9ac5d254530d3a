"""Every command of `vpnportal`: --help, --json, and one JSON document also when it refuses."""

from __future__ import annotations

import argparse
import json
import pkgutil
from collections.abc import Iterator

import pytest
from django.core.management import base, load_command_class
from django.db import OperationalError, connection

from tests.doctor import InlineThread, NoConnections
from vpnportal.management import commands
from vpnportal.management.doctor import checks, machine
from vpnportal.management.json_command import JsonCommand, leaf_parsers
from vpnportal.root_commands import __main__ as root

MANAGED = {
    name: load_command_class("vpnportal", name)
    for _, name, _ in pkgutil.iter_modules(commands.__path__)
}
JSON = [name for name, command in MANAGED.items() if isinstance(command, JsonCommand)]
# They run until a signal, or are steps of bin/run in a checkout.
PROCESSES = {"watch", "guard_routes"}
OF_A_CHECKOUT = {"lab", "firsttime", "prepare_database"}


def leaves() -> Iterator[list[str]]:
    """Yield the words of each command and action, of `manage.py` and of root."""
    parsers = [MANAGED[name].create_parser("vpnportal", name) for name in JSON]
    for parser in (*parsers, root.parser()):
        for leaf in leaf_parsers(parser):
            yield leaf.prog.split()[1:]


def leaf_of(words: list[str]) -> argparse.ArgumentParser:
    name = words[0]
    top = MANAGED[name].create_parser("vpnportal", name) if name in JSON else root.parser()
    return next(leaf for leaf in leaf_parsers(top) if leaf.prog.split()[1:] == words)


def required_arguments(words: list[str]) -> list[str]:
    """Return arguments that the parser accepts, and that name nothing that exists."""
    arguments = []
    for action in leaf_of(words)._actions:
        value = "999" if action.type is int else "/no-such-folder/x"
        if action.option_strings and action.required:
            arguments += [action.option_strings[-1], value]
        elif not action.option_strings and (action.required or words[0] == "gateway_key"):
            arguments.append(value)
    return arguments


def run(words: list[str], *arguments: str) -> int:
    try:
        if words[0] not in JSON:
            return root.main([*words, *arguments])
        # It writes to what is the standard output now.
        load_command_class("vpnportal", words[0]).run_from_argv(["vpnportal", *words, *arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture(autouse=True)
def _machine(monkeypatch, tmp_path, settings):
    """Let a command keep the test's transaction, and find no systemd and no server."""
    monkeypatch.setattr(base, "connections", NoConnections)
    monkeypatch.setattr(checks, "Thread", InlineThread)
    monkeypatch.setattr(checks, "connections", NoConnections)
    monkeypatch.setattr(machine, "SYSTEMD", tmp_path / "no systemd")
    monkeypatch.setattr(root.os, "geteuid", lambda: 1)
    settings.STATE, settings.BACKUPS = tmp_path / "state", tmp_path / "backups"
    settings.CELERY_BROKER_URL = "redis+socket://" + str(tmp_path / "no-redis.sock")
    settings.VICI_SOCKET = str(tmp_path / "no-charon.sock")


def test_each_command_of_the_help_is_found_and_no_command_for_operators_lacks_json():
    listed = {name.split()[0] for name in root.COMMANDS}
    found = {words[0] for words in leaves()}

    assert listed <= found
    assert MANAGED.keys() - found == PROCESSES | OF_A_CHECKOUT


@pytest.mark.parametrize("words", [*leaves()], ids=" ".join)
def test_the_help_of_a_command_has_json_and_ends_with_0(words, capsys):
    assert run(words, "--help") == 0

    shown = capsys.readouterr().out
    assert "--json" in shown
    assert "usage: vpnportal " + " ".join(words) in shown


@pytest.mark.parametrize("words", [*leaves()], ids=" ".join)
def test_a_wrong_use_with_json_is_one_object_and_status_2(words, capsys):
    assert run(words, *required_arguments(words), "--json", "--no-such-option") == 2

    shown = capsys.readouterr()
    error = json.loads(shown.out)["error"]
    assert "--no-such-option" in error
    assert error.endswith(" --help` has the arguments.")
    assert shown.err == ""


@pytest.mark.parametrize("words", [*leaves()], ids=" ".join)
def test_a_command_with_json_prints_one_document_whatever_it_finds(words, capsys, concentrator):
    status = run(words, *required_arguments(words), "--json")

    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert shown.err == ""
    if status and "error" in document:
        assert document["error"][-1:] == "."
    assert status == 0 or document


@pytest.mark.parametrize("words", [*leaves()], ids=" ".join)
def test_a_command_with_json_prints_one_document_without_a_database(
    words, capsys, monkeypatch, concentrator
):
    def away() -> None:
        raise OperationalError("connection to 10.77.0.10 refused")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", away)
        status = run(words, *required_arguments(words), "--json")

    shown = capsys.readouterr()
    document = json.loads(shown.out)
    assert shown.err == ""
    if "10.77.0.10" in shown.out and isinstance(document, dict):
        assert status == (2 if words == ["status"] else 1)
        assert document["error"].endswith(
            "connection to 10.77.0.10 refused. `vpnportal doctor` says what to do."
        )
