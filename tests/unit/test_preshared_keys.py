"""Random preshared keys, and weaknesses of entered keys."""

from __future__ import annotations

import pytest

from vpnportal.domain.tunnel.preshared_keys import (
    LENGTH,
    LETTERS,
    SYMBOLS,
    RevealedKey,
    key_weakness,
    new_key,
)


def test_a_new_key_is_random_unambiguous_and_begins_with_a_letter():
    keys = {new_key() for _ in range(200)}

    assert len(keys) == 200
    assert {len(key) for key in keys} == {LENGTH}
    assert {key[0] for key in keys} <= set(LETTERS)
    assert set("".join(keys)) <= set(SYMBOLS) - set("0OoIl1")
    assert (len(LETTERS) * len(SYMBOLS) ** (LENGTH - 1)).bit_length() > 128
    assert {key_weakness(key) for key in keys} == {""}


@pytest.mark.parametrize(
    "key", ["x", "nineteen characters", "abababababababababababab", "Preshared Key 2026", "secret"]
)
def test_the_weakness_of_a_key_does_not_contain_the_key(key):
    assert key_weakness(key)
    assert key not in key_weakness(key).split()


def test_an_empty_key_has_no_weakness():
    assert key_weakness("") == ""


def test_a_revealed_key_is_not_in_its_str_and_repr():
    assert f"{RevealedKey('canary')} {RevealedKey('canary')!r}" == "RevealedKey() RevealedKey()"
