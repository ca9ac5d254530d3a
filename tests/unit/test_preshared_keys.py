"""Keys that are made at random, and what is weak about others."""

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
def test_a_weak_key_is_called_so_without_telling_anything_of_it(key):
    assert key_weakness(key)
    assert key not in key_weakness(key).split()


def test_no_key_is_not_weak_but_missing():
    assert key_weakness("") == ""


def test_a_key_on_its_way_to_a_page_shows_nothing_when_printed():
    assert f"{RevealedKey('canary')} {RevealedKey('canary')!r}" == "RevealedKey() RevealedKey()"
