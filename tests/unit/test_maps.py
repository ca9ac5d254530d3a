"""What a map holds is told whole, also while the kernel moves its elements about."""

from __future__ import annotations

import pytest

from vpnportal.device import DeviceError, maps


def test_a_dump_that_tells_an_element_twice_is_taken_again(monkeypatch):
    dumps = iter([[1, 2, 2], [3, 1, 1], [1, 2, 3]])
    monkeypatch.setattr(maps, "_dumped", lambda *_: iter(next(dumps)))

    assert list(maps.entries(None, "table", "map")) == [1, 2, 3]


def test_a_table_that_never_comes_to_rest_is_an_error(monkeypatch):
    monkeypatch.setattr(maps, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(maps, "_dumped", lambda *_: iter([1, 1]))

    with pytest.raises(DeviceError):
        maps.entries(None, "table", "map")
