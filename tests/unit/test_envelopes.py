"""Envelopes open for their two readers, in their row, as they were sealed, and not otherwise."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from tests.key_folder import use_keys, use_keys_of_gateway
from vpnportal import encryption, envelopes
from vpnportal.encryption import CannotOpen, Reader, seal, seal_for_other, unseal
from vpnportal.envelopes import Envelope

ONE, TWO = "hou02-vpn01", "hou02-vpn02"
TEXT, CONTEXT = '{"preshared_key":"canary"}', "tunnel 1 specification"
PARTS = Envelope._fields


class Machines:
    """The key folders of a portal and of two gateways."""

    def __init__(self, settings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self.be_portal()
        call_command("keys", "--concentrators", ONE, TWO)

    def be_portal(self) -> None:
        use_keys(self._settings, self._folder)

    @contextmanager
    def gateway(self, name: str) -> Iterator[None]:
        use_keys_of_gateway(self._settings, name)
        yield
        self.be_portal()

    def reader(self, name: str) -> Reader:
        return Reader(name, (self._folder / name / "gateway.pub").read_text().strip())


@pytest.fixture
def machines(settings, tmp_path) -> Machines:
    return Machines(settings, tmp_path / "keys")


@pytest.fixture
def token(machines) -> str:
    return seal(TEXT, CONTEXT, machines.reader(ONE))


def test_the_portal_and_one_gateway_open_an_envelope(machines, token):
    assert unseal(token, CONTEXT) == TEXT
    with machines.gateway(ONE):
        assert unseal(token, CONTEXT) == TEXT
    with machines.gateway(TWO), pytest.raises(CannotOpen):
        unseal(token, CONTEXT)


def test_a_gateway_opens_nothing_that_is_for_the_portal_and_seals_nothing(machines):
    token = seal(TEXT, CONTEXT)

    with machines.gateway(ONE):
        with pytest.raises(CannotOpen):
            unseal(token, CONTEXT)
        for reader in (None, machines.reader(ONE)):
            with pytest.raises(ImproperlyConfigured):
                seal(TEXT, CONTEXT, reader)
        with pytest.raises(ImproperlyConfigured):
            encryption.fingerprint_key()


def test_two_envelopes_of_a_text_have_nothing_in_common(machines, token):
    first, second = Envelope.parse(token), Envelope.parse(seal(TEXT, CONTEXT, machines.reader(ONE)))

    assert first.gateway_id == second.gateway_id
    assert not {first.body, first.for_gateway, first.for_portal} & set(second)


@pytest.mark.parametrize("part", PARTS)
def test_a_changed_part_opens_at_neither_reader(machines, token, part):
    envelope = Envelope.parse(token)
    value = getattr(envelope, part)
    other = f"{int(value, 16) ^ 1:08x}" if isinstance(value, str) else flipped(value)
    changed = envelope._replace(**{part: other}).token

    # Each copy of the key is bound to its own reader.
    ours = {"for_gateway", "gateway_id"}
    if part not in ours:
        with pytest.raises(CannotOpen):
            unseal(changed, CONTEXT)
    with machines.gateway(ONE):
        if part in ours | {"body"}:
            with pytest.raises(CannotOpen):
                unseal(changed, CONTEXT)
        else:
            assert unseal(changed, CONTEXT) == TEXT


@pytest.mark.parametrize(
    "damage",
    [
        lambda token: token[:-4],
        lambda token: token[: len(token) // 2],
        lambda token: token.replace("2:", "3:", 1),
        lambda token: token + ":AAAA",
        lambda token: token.replace(":", "", 1),
        lambda token: "2:::::",
        lambda token: "2:",
        lambda token: "",
        lambda token: token[:-8] + "é" * 8,
    ],
)
def test_a_damaged_token_cannot_be_opened(machines, token, damage):
    damaged = damage(token)

    with pytest.raises(CannotOpen):
        unseal(damaged, CONTEXT)
    with pytest.raises(CannotOpen):
        seal_for_other(damaged, CONTEXT, machines.reader(TWO))
    with machines.gateway(ONE), pytest.raises(CannotOpen):
        unseal(damaged, CONTEXT)


def test_a_token_above_the_limit_is_not_even_decoded(machines, token, monkeypatch):
    for_portal = seal(TEXT, CONTEXT)
    monkeypatch.setattr(envelopes, "MAX_CHARACTERS", len(for_portal) - 1)

    for each in (token, for_portal):
        with pytest.raises(CannotOpen):
            unseal(each, CONTEXT)
    with pytest.raises(CannotOpen):
        seal_for_other(token, CONTEXT, machines.reader(TWO))


def test_an_envelope_does_not_open_in_another_row(machines, token):
    with pytest.raises(CannotOpen):
        unseal(token, "tunnel 2 specification")
    with machines.gateway(ONE), pytest.raises(CannotOpen):
        unseal(token, "tunnel 2 specification")


def test_a_gateway_cannot_put_another_text_beside_the_portals_copy_of_the_key(machines, token):
    """It learns the key of the text. The portal must not take another text for its own."""
    envelope = Envelope.parse(token)
    key = envelope._key_of_portal(CONTEXT, next(iter(encryption._portal_keys().values())))
    body = AESGCM(key).encrypt(envelopes.ONCE, b'{"preshared_key":"forged"}', CONTEXT.encode())

    with pytest.raises(CannotOpen):
        unseal(envelope._replace(body=body).token, CONTEXT)


def test_who_knows_only_a_public_key_makes_nothing_that_its_gateway_opens(machines, settings):
    reader = machines.reader(ONE)
    settings.FINGERPRINT_KEY_FILE = settings.KEYS / "of an attacker.key"
    settings.FINGERPRINT_KEY_FILE.write_text(encryption.new_key())
    forged = seal(TEXT, CONTEXT, reader)

    with machines.gateway(ONE), pytest.raises(CannotOpen):
        unseal(forged, CONTEXT)


def test_an_envelope_for_another_gateway_is_no_longer_for_the_first(machines, token):
    other = seal_for_other(token, CONTEXT, machines.reader(TWO))

    assert unseal(other, CONTEXT) == TEXT
    with machines.gateway(ONE), pytest.raises(CannotOpen):
        unseal(other, CONTEXT)
    with machines.gateway(TWO):
        assert unseal(other, CONTEXT) == TEXT


def test_a_rotated_key_of_the_portal_opens_earlier_envelopes(machines, token, settings):
    file = settings.SEAL_KEY_FILE
    file.write_text(encryption.new_key() + "\n" + file.read_text())
    encryption.forget_keys()

    assert unseal(token, CONTEXT) == TEXT
    assert encryption.key_id(token) == encryption.key_ids(file)[1]
    assert (
        encryption.key_id(seal(TEXT, CONTEXT, machines.reader(ONE)))
        == (encryption.key_ids(file)[0])
    )


def test_each_line_of_gateway_key_opens_and_the_first_one_is_announced(
    machines, token, settings, capsys
):
    settings.MACHINE, settings.CONCENTRATOR = "gateway", ONE
    with machines.gateway(ONE):
        call_command("keys", "rotate")
        encryption.forget_keys()
        first, second = encryption.gateway_public_keys()
        assert unseal(token, CONTEXT) == TEXT
        assert capsys.readouterr().out == f"On the portal: vpnportal gateway_key {ONE} {first}\n"
    assert second == machines.reader(ONE).public_key != first


def test_a_gateway_that_had_the_portals_keys_keeps_the_names_of_its_child_sas(
    machines, settings, tmp_path
):
    """Another key would negotiate each tunnel again."""
    before = encryption.concentrator_key(ONE)
    folder = tmp_path / "of the gateway"
    folder.mkdir()
    for name in ("seal.key", "fingerprint.key"):
        (folder / name).write_text((settings.KEYS / name).read_text())
    use_keys(settings, folder)
    settings.MACHINE, settings.CONCENTRATOR = "gateway", ONE

    call_command("keys")
    (folder / "fingerprint.key").unlink()
    (folder / "seal.key").unlink()
    encryption.forget_keys()

    assert encryption.concentrator_key(ONE) == before
    modes = {file.name: file.stat().st_mode & 0o007 for file in folder.iterdir()}
    assert modes == {"gateway.key": 0, "concentrator.key": 0}


def test_a_file_without_a_key_counts_as_missing(machines, token, settings):
    """A unit of systemd gives a service such a file for one that the machine does not have."""
    for_portal = seal(TEXT, CONTEXT)
    (settings.KEYS / ONE / "seal.key").write_text("\n")
    (settings.KEYS / ONE / "fingerprint.key").write_text("\n")

    with machines.gateway(ONE):
        assert unseal(token, CONTEXT) == TEXT
        with pytest.raises(CannotOpen):
            unseal(for_portal, CONTEXT)


LOW_ORDER = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize("text", ["", "AAAA", "x" * 44, LOW_ORDER, "é" * 44, "A" * 44 + "=" * 9])
def test_what_is_no_public_key_is_refused_with_a_sentence(text):
    with pytest.raises(ValueError, match="32 bytes in base64, 44 characters, as `vpnportal keys`"):
        encryption.check_public_key(text)


def flipped(value: bytes) -> bytes:
    return value[:-1] + bytes([value[-1] ^ 1])
