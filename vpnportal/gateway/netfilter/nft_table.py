"""Our one nftables table: its rules through libnftables, the elements of its maps by ourselves."""

from __future__ import annotations

import json
from typing import Any

from nftables import Nftables

from vpnportal.domain.gateway_config.nat_elements import NatElements, NatMap, packed
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.netfilter import map_elements, netlink, ruleset
from vpnportal.gateway.netfilter.netlink import NetlinkSocket

# A lookup takes as long as reading some fifty elements of a whole map.
ONE_BY_ONE = 1_000


class NftTable:
    """The table `ip vpnportal` of the network namespace that this process runs in."""

    def __init__(self, link: NetlinkSocket) -> None:
        self._link = link
        self._library = Nftables()
        self._library.set_json_output(True)
        self._library.set_handle_output(False)

    def rules_are_current(self, userland_esp: bool) -> bool:
        """Whether every rule is there, unchanged; elements of the maps do not count."""
        comment = ruleset.digest(userland_esp)
        wanted = {
            chain: [comment] * len(lines)
            for chain, lines in ruleset.rules(userland_esp).items()
            if lines
        }
        return netlink.comments(self._link, ruleset.TABLE) == wanted

    def elements(self) -> NatElements:
        """Everything in both maps."""
        return NatElements(
            *(map_elements.dump_elements(self._link, ruleset.TABLE, name) for name in NatMap)
        )

    def elements_at(self, keys: NatElements) -> NatElements:
        """What the maps hold under these keys; the cost does not depend on what else they hold.

        Beyond very many keys, reading everything is cheaper than asking for each.
        """
        if len(keys) > ONE_BY_ONE:
            return self.elements().under(keys)
        found = (
            map_elements.lookup_elements(self._link, ruleset.TABLE, name, keys.keys(name))
            for name in NatMap
        )
        return NatElements(*((packed(*one) for one in some.items()) for some in found))

    def change(
        self, remove: NatElements, add: NatElements, write_rules: bool, userland_esp: bool
    ) -> None:
        """Elements to remove and elements to add: all of it at once, or none of it.

        Rules that are to be written stand before that: nothing is translated without them.
        """
        if write_rules:
            self._run(ruleset.usage_set_definition())
            self._run(ruleset.definition(userland_esp))
        map_elements.change_elements(self._link, ruleset.TABLE, remove, add)

    def drop_counters(self) -> dict[str, int]:
        """Packets that the rules dropped, by the name of the counter."""
        found = netlink.counters(self._link, ruleset.TABLE)
        return {name: found[name] for name in ruleset.COUNTERS if name in found}

    def _run(self, commands: list[dict[str, Any]]) -> None:
        status, _, error = self._library.cmd(json.dumps({"nftables": commands}))
        if status != 0:
            raise GatewayError(f"nftables refused the change: {_first_line(error)}")


def _first_line(error: str) -> str:
    return error.strip().splitlines()[0] if error.strip() else "no reason given"
