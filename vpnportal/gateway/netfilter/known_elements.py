"""Elements of the nftables maps that need not be read again while no other program changes them."""

from __future__ import annotations

from collections.abc import Callable

from vpnportal.domain.gateway_config.nat_elements import NatElements, NatMap, packed


class KnownElements:
    """The elements of a complete dump, if there was one, and those that were read or changed since.

    A change costs the same with any number of elements.
    """

    def __init__(self, dump: NatElements | None = None) -> None:
        self._dump = dump
        # Values by key, None without an element. They replace those of the dump.
        self._values: dict[NatMap, dict[int, int | None]] = {name: {} for name in NatMap}

    def at(self, keys: NatElements, read: Callable[[NatElements], NatElements]) -> NatElements:
        """Return the elements whose keys occur in `keys`; the values in `keys` are ignored.

        `read` returns the elements at the keys that are not known yet, as `at` does.
        """
        unknown = {
            name: [packed(key, 0) for key in keys.keys(name) if key not in self._values[name]]
            for name in NatMap
        }
        if any(unknown.values()):
            self._learn(NatElements(unknown), read)
        return NatElements({name: self._items(name, keys) for name in NatMap})

    def change(self, remove: NatElements, add: NatElements) -> None:
        """Take over that elements were removed and others added."""
        for name, values in self._values.items():
            values.update(dict.fromkeys(remove.keys(name)))
            values.update(add.pairs(name))

    def _learn(self, keys: NatElements, read: Callable[[NatElements], NatElements]) -> None:
        if self._dump is None:
            self.change(keys, read(keys))
            return
        for name, values in self._values.items():
            values.update((key, self._dump.value_at(name, key)) for key in keys.keys(name))

    def _items(self, name: NatMap, keys: NatElements) -> list[int]:
        values = self._values[name]
        pairs = ((key, values[key]) for key in keys.keys(name))
        return [packed(key, value) for key, value in pairs if value is not None]
