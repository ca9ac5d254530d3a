"""Sorted sets of numbers in as little memory as arrays need."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

# Numbers of more bits are stored in two arrays.
LOW_BITS = 64
LOW = (1 << LOW_BITS) - 1


class PackedNumbers(Sequence[int]):
    """Sorted distinct numbers of up to 96 bits, in twelve bytes each; eight if all are short."""

    __slots__ = ("_high", "_low")

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        # dict.fromkeys drops duplicates and keeps the order: sorted input is sorted in linear time.
        ordered = sorted(dict.fromkeys(numbers))
        if ordered and ordered[-1] > LOW:
            self._low = array("Q", [item & LOW for item in ordered])
            self._high = array("I", [item >> LOW_BITS for item in ordered])
        else:
            self._low, self._high = array("Q", ordered), array("I")

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        return (self._high[index] << LOW_BITS if self._high else 0) | self._low[index]

    def __iter__(self) -> Iterator[int]:
        if not self._high:
            return iter(self._low)
        pairs = zip(self._high, self._low, strict=True)
        return (high << LOW_BITS | low for high, low in pairs)

    def __len__(self) -> int:
        return len(self._low)

    def __contains__(self, item: object) -> bool:
        return isinstance(item, int) and self.at_least(item) == item

    def at_least(self, limit: int) -> int | None:
        """Return the lowest number that is not below `limit`, or None if all are."""
        start, end = 0, len(self)
        if self._high:
            start = bisect_left(self._high, limit >> LOW_BITS)
            end = bisect_right(self._high, limit >> LOW_BITS, start)
            limit &= LOW
        at = bisect_left(self._low, limit, start, end)
        return self[at] if at < len(self) else None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedNumbers):
            return NotImplemented
        return self._low == other._low and self._high == other._high

    __hash__ = None  # type: ignore[assignment]
