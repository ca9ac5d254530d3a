"""The command that prints the SQL of a gateway's role."""

from __future__ import annotations

import base64
import hashlib
import hmac
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from vpnportal.deployment.gateway_role import GROUP, scram_verifier

PASSWORD = "5f2c" * 12
NAME, ROLE = "hou02-vpn01", '"gw_hou02-vpn01"'


def printed(monkeypatch: pytest.MonkeyPatch, *arguments: str, password: str = PASSWORD) -> str:
    monkeypatch.setattr("sys.stdin", StringIO(f"{password}\n"))
    out = StringIO()
    call_command("gateway_role", *arguments, stdout=out)
    return out.getvalue()


def test_it_prints_a_member_of_the_group_without_the_password(monkeypatch):
    sql = printed(monkeypatch, NAME)
    assert f'GRANT "{GROUP}" TO {ROLE};' in sql
    assert "PASSWORD 'SCRAM-SHA-256$4096:" in sql
    assert PASSWORD not in sql
    assert sql != printed(monkeypatch, NAME), "the salt is random"


def test_a_role_for_peer_authentication_has_no_password_and_reads_none(monkeypatch):
    assert "PASSWORD NULL;" in printed(monkeypatch, NAME, "--peer", password="")
    assert f"DROP ROLE IF EXISTS {ROLE};" in printed(monkeypatch, NAME, "--remove", password="")


@pytest.mark.parametrize("password", ["", "short", "x" * 31, "a b" * 20, "ü" * 40])
def test_it_refuses_a_password_that_can_be_guessed_or_needs_quotes(password: str, monkeypatch):
    with pytest.raises(CommandError, match="32 or more letters and digits"):
        printed(monkeypatch, NAME, password=password)


@pytest.mark.parametrize("name", ['x"; DROP ROLE vpnportal; --', "Hou02", "x" * 41, "", "a_b"])
def test_it_refuses_a_name_that_no_concentrator_can_have(name: str, monkeypatch):
    with pytest.raises(CommandError, match="is not a concentrator's name"):
        printed(monkeypatch, name)


def test_the_verifier_accepts_the_exchange_of_rfc_7677():
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    exchange = (
        "n=user,r=rOprNGfwEbeRWgbNEkqO"
        f",r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        f",c=biws,r={nonce}"
    ).encode()
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")

    method, iterations, keys = scram_verifier("pencil", salt).split("$")

    stored, server = (base64.b64decode(key) for key in keys.split(":"))
    assert (method, iterations.partition(":")[0]) == ("SCRAM-SHA-256", "4096")
    signature = hmac.digest(stored, exchange, "sha256")
    client = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
    assert hashlib.sha256(client).digest() == stored
    answer = base64.b64encode(hmac.digest(server, exchange, "sha256")).decode()
    assert answer == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
