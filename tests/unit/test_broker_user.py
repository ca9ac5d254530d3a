"""The command that prints a user of Redis."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from vpnportal.deployment.broker_access import gateway_acl, portal_acl

PASSWORD = "5f2c" * 12


def printed(name: str, password: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sys.stdin", StringIO(f"{password}\n"))
    out = StringIO()
    call_command("broker_user", name, stdout=out)
    return out.getvalue()


def test_it_prints_the_line_of_the_portal_or_a_gateway_without_the_password(monkeypatch):
    assert printed("portal", PASSWORD, monkeypatch) == f"{portal_acl(PASSWORD)}\n"
    line = printed("hou02-vpn01", PASSWORD, monkeypatch)
    assert line == f"{gateway_acl('hou02-vpn01', PASSWORD)}\n"
    assert line.startswith("user gw_hou02-vpn01 on #")
    assert PASSWORD not in line


@pytest.mark.parametrize("password", ["", "short", "x" * 31, "a b" * 20, "ü" * 40])
def test_it_refuses_a_password_that_can_be_guessed_or_needs_quotes(password: str, monkeypatch):
    with pytest.raises(CommandError, match="32 or more letters and digits"):
        printed("portal", password, monkeypatch)
