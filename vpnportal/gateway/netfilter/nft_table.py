"""The portal's nftables table: rules through libnftables, elements of its maps through netlink."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from nftables import Nftables

from vpnportal.domain.gateway_config.nat_elements import NatElements, NatMap
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.netfilter import map_elements, netlink, ruleset
from vpnportal.gateway.netfilter.known_elements import KnownElements
from vpnportal.gateway.netfilter.netlink import NetlinkSocket

# A lookup of one key takes as long as reading about fifty elements in a dump. A translation has
# three keys.
MAX_LOOKUPS = 1_500


@dataclass(frozen=True, slots=True)
class LoadedRules:
    """The comments of the loaded rules in order by chain, and the interfaces of the hosted side.

    From these interfaces packets may enter a tunnel.
    """

    comments: dict[str, list[str]]
    hosted_side: frozenset[str]

    def are_current(self, userland_esp: bool) -> bool:
        """Return True if each chain has exactly the rules of this version, by their comments."""
        return self.comments == ruleset.comments(userland_esp)


@dataclass(slots=True)
class Reading:
    """The rules and elements of the table, as far as they were read at a generation.

    The generation is the kernel's number of the ruleset, which each transaction of the namespace
    increases by one. Packets change no element of the maps.
    """

    generation: int
    rules: LoadedRules | None = None
    elements: KnownElements = field(default_factory=KnownElements)

    def follow(self, generation: int, remove: NatElements, add: NatElements) -> None:
        """Take over an own change of elements, if it was the only transaction since the reading."""
        if (remove or add) and generation == self.generation + 1:
            self.generation = generation
            self.elements.change(remove, add)


class NftTable:
    """The table `ip vpnportal` in this process's network namespace.

    Its methods raise GatewayError if the kernel does not answer or refuses.
    """

    def __init__(self, link: NetlinkSocket) -> None:
        self._link = link
        self._reading = Reading(generation=0)
        self._library = Nftables()
        self._library.set_json_output(True)
        self._library.set_handle_output(False)

    def rules(self) -> LoadedRules:
        """Return the loaded rules. They are read only if the ruleset has changed since."""
        reading = self._current_reading()
        if reading.rules is None:
            comments = netlink.read_comments(self._link, ruleset.TABLE)
            keys = map_elements.dump_keys(self._link, ruleset.TABLE, ruleset.HOSTED_SIDE)
            names = (key.rstrip(b"\0").decode(errors="replace") for key in keys)
            reading.rules = LoadedRules(comments, frozenset(names))
        return reading.rules

    def _current_reading(self) -> Reading:
        """Return the reading since the last transaction of any program but `change`."""
        # Before anything is read: a later transaction must be noticed at the next call.
        generation = netlink.read_generation(self._link)
        if generation != self._reading.generation:
            self._reading = Reading(generation)
        return self._reading

    def elements(self) -> NatElements:
        """Return all elements of the maps. They are read from the kernel each time."""
        reading = self._current_reading()
        elements = NatElements(
            {name: map_elements.dump_elements(self._link, ruleset.TABLE, name) for name in NatMap}
        )
        reading.elements = KnownElements(elements)
        return elements

    def elements_at(self, keys: NatElements) -> NatElements:
        """Return the loaded elements whose keys occur in `keys`; the values in `keys` are ignored.

        Up to MAX_LOOKUPS keys, the time does not depend on the size of the maps. Nothing is read
        again, after `elements` either, until another program changes the ruleset.
        """
        return self._current_reading().elements.at(keys, self._read_at)

    def _read_at(self, keys: NatElements) -> NatElements:
        if len(keys) > MAX_LOOKUPS:
            return self.elements().under(keys)
        return map_elements.lookup_elements(self._link, ruleset.TABLE, keys)

    def prepare(
        self,
        write_rules: bool,
        userland_esp: bool,
        remove_interfaces: Collection[str] = (),
        add_interfaces: Collection[str] = (),
    ) -> None:
        """Change the hosted side, before a new tunnel can carry packets.

        With `write_rules`, make the table and its sets first, and the rules if it has none, so that
        no packet is forwarded unencrypted.
        """
        if write_rules:
            self._run(ruleset.table_text(userland_esp))
            if not self._has_rules():
                self._run_json(ruleset.definition(userland_esp))
        if remove_interfaces or add_interfaces:
            self._change_hosted_side(remove_interfaces, add_interfaces)

    def change(
        self, remove: NatElements, add: NatElements, write_rules: bool, userland_esp: bool
    ) -> None:
        """Remove and add elements in one transaction, and write the rules if requested.

        Rules of another version stay until the elements of the new rules are there.
        """
        has_rules = write_rules and self._has_rules()
        self.prepare(write_rules, userland_esp)
        map_elements.change_elements(self._link, ruleset.TABLE, remove, add)
        if not write_rules:
            self._reading.follow(netlink.read_generation(self._link), remove, add)
        if has_rules:
            self._run_json(ruleset.definition(userland_esp))
            for name in ruleset.FORMER_OBJECTS:
                with suppress(GatewayError):
                    self._run(f"delete {name}")

    def _has_rules(self) -> bool:
        return bool(self.rules().comments)

    def _change_hosted_side(self, remove: Collection[str], add: Collection[str]) -> None:
        place = {"family": ruleset.FAMILY, "table": ruleset.TABLE, "name": ruleset.HOSTED_SIDE}
        self._run_json(
            [
                {verb: {"element": {**place, "elem": sorted(names)}}}
                for verb, names in (("delete", remove), ("add", add))
                if names
            ]
        )

    def drop_counters(self) -> dict[str, int]:
        """Return the number of packets that the rules dropped, by counter name."""
        counters = netlink.read_counters(self._link, ruleset.TABLE)
        return {name: counters[name] for name in ruleset.COUNTERS if name in counters}

    def _run_json(self, commands: list[dict[str, Any]]) -> None:
        self._run(json.dumps({"nftables": commands}))

    def _run(self, commands: str) -> None:
        status, _, error = self._library.cmd(commands)
        if status != 0:
            raise GatewayError(f"nftables refused the change: {_first_line(error)}")


def _first_line(error: str) -> str:
    return error.strip().splitlines()[0] if error.strip() else "no reason given"
