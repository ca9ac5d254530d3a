"""Object masks: which properties of an object, and of those behind it, a client asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Mask:
    """What is asked of objects of one level: properties by name, each with what is asked of it.

    `typed` holds what is asked only of objects of one type; an empty mask names nothing.
    """

    named: Mapping[str, Mask] = field(default_factory=dict)
    typed: Mapping[str, Mask] = field(default_factory=dict)
    # `filteredMask`: the filter chooses among related objects too.
    filtered: bool = False

    def of(self, shape: str) -> Mapping[str, Mask]:
        """What is asked of an object of this type."""
        mine = self.typed.get(shape)
        return {**self.named, **mine.named} if mine else self.named


NOTHING = Mask()
