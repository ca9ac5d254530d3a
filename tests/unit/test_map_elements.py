"""What a map holds is told whole, also while the kernel moves its elements about."""

from __future__ import annotations

import pytest

from vpnportal.gateway import GatewayError
from vpnportal.gateway.netfilter import map_elements


def test_a_dump_that_tells_an_element_twice_is_taken_again(monkeypatch):
    dumps = iter([[1, 2, 2], [3, 1, 1], [1, 2, 3]])
    monkeypatch.setattr(map_elements, "_dumped", lambda *_: iter(next(dumps)))

    assert list(map_elements.dump_elements(None, "table", "map")) == [1, 2, 3]


def test_a_table_that_never_comes_to_rest_is_an_error(monkeypatch):
    monkeypatch.setattr(map_elements, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(map_elements, "_dumped", lambda *_: iter([1, 1]))

    with pytest.raises(GatewayError):
        map_elements.dump_elements(None, "table", "map")
