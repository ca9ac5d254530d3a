"""The portal's nftables table: rules through libnftables, elements of its maps through netlink."""

from __future__ import annotations

import json
from typing import Any

from nftables import Nftables

from vpnportal.domain.gateway_config.nat_elements import NatElements, NatMap, packed
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.netfilter import map_elements, netlink, ruleset
from vpnportal.gateway.netfilter.netlink import NetlinkSocket

# A lookup of one key takes as long as reading about fifty elements in a dump.
MAX_LOOKUPS = 1_000


class NftTable:
    """The table `ip vpnportal` in this process's network namespace.

    Its methods raise GatewayError if the kernel does not answer or refuses.
    """

    def __init__(self, link: NetlinkSocket) -> None:
        self._link = link
        self._library = Nftables()
        self._library.set_json_output(True)
        self._library.set_handle_output(False)

    def rules_are_current(self, userland_esp: bool) -> bool:
        """Return True if each chain has exactly the rules of this version, compared by comment."""
        expected = ruleset.comments(userland_esp)
        return netlink.read_comments(self._link, ruleset.TABLE) == expected

    def elements(self) -> NatElements:
        """Return all elements of both maps."""
        return NatElements(
            *(map_elements.dump_elements(self._link, ruleset.TABLE, name) for name in NatMap)
        )

    def elements_at(self, keys: NatElements) -> NatElements:
        """Return the loaded elements whose keys occur in `keys`; the values in `keys` are ignored.

        Up to MAX_LOOKUPS keys, the time does not depend on the size of the maps.
        """
        if len(keys) > MAX_LOOKUPS:
            return self.elements().under(keys)
        values_by_key = (
            map_elements.lookup_elements(self._link, ruleset.TABLE, name, keys.keys(name))
            for name in NatMap
        )
        return NatElements(
            *((packed(key, value) for key, value in values.items()) for values in values_by_key)
        )

    def change(
        self, remove: NatElements, add: NatElements, write_rules: bool, userland_esp: bool
    ) -> None:
        """Write the rules if requested, then remove and add elements in one transaction.

        The rules come first, so that no packet is translated without them.
        """
        if write_rules:
            self._run(ruleset.usage_set_definition())
            self._run(ruleset.definition(userland_esp))
        map_elements.change_elements(self._link, ruleset.TABLE, remove, add)

    def drop_counters(self) -> dict[str, int]:
        """Return the number of packets that the rules dropped, by counter name."""
        counters = netlink.read_counters(self._link, ruleset.TABLE)
        return {name: counters[name] for name in ruleset.COUNTERS if name in counters}

    def _run(self, commands: list[dict[str, Any]]) -> None:
        status, _, error = self._library.cmd(json.dumps({"nftables": commands}))
        if status != 0:
            raise GatewayError(f"nftables refused the change: {_first_line(error)}")


def _first_line(error: str) -> str:
    return error.strip().splitlines()[0] if error.strip() else "no reason given"
