"""The part of a tunnel from which map elements are made."""

from __future__ import annotations

from typing import NamedTuple


class Tunnel(NamedTuple):
    """A tunnel with a mark, translations and networks."""

    mark: int
    translations: list[int] = []
    networks: tuple[str, ...] = ()
    hosted_peer: str = "203.0.113.1"
