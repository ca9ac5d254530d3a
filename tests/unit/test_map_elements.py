"""Dumps of a map while the kernel enlarges its hash table."""

from __future__ import annotations

import pytest

from vpnportal.gateway import GatewayError
from vpnportal.gateway.netfilter import map_elements


def test_a_dump_with_an_element_twice_is_taken_again(monkeypatch):
    dumps = iter([[1, 2, 2], [3, 1, 1], [1, 2, 3]])
    monkeypatch.setattr(map_elements, "_dump_once", lambda *_: iter(next(dumps)))

    assert list(map_elements.dump_elements(None, "table", "map")) == [1, 2, 3]


def test_a_map_that_changes_during_each_dump_is_an_error(monkeypatch):
    monkeypatch.setattr(map_elements, "DUMP_PAUSE_SECONDS", 0)
    monkeypatch.setattr(map_elements, "_dump_once", lambda *_: iter([1, 1]))

    with pytest.raises(GatewayError):
        map_elements.dump_elements(None, "table", "map")
