"""Requirements on nftables: the portal's own rules, and those of others."""

from __future__ import annotations

import json
from typing import Any

from nftables import Nftables

from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.netfilter import ruleset
from vpnportal.gateway.netfilter.netlink import (
    NetlinkSocket,
)
from vpnportal.gateway.netfilter.nft_table import NftTable
from vpnportal.gateway.requirements.findings import AS_WORKER, Finding, at_risk, met, unmet

RULES_REMEDY = "Start the worker: it writes the rules. Its log has the reason if it cannot."


def own_rules(userland_esp: bool) -> Finding:
    """Check that the kernel has exactly the rules of this version for the data plane."""
    try:
        is_current = NftTable(NetlinkSocket()).rules().are_current(userland_esp)
    except GatewayError as error:
        return unmet("rules", f"The rules cannot be read: {error}", AS_WORKER)
    if not is_current:
        return unmet("rules", "The kernel does not have the portal's rules.", RULES_REMEDY)
    return met("rules", "The kernel has the portal's rules.")


def other_rules() -> Finding:
    """Check that no other chain drops by default the packets that the gateway forwards."""
    chains = [
        f"{chain['family']} {chain['table']} {chain['name']}"
        for chain in _chains()
        if (chain.get("hook"), chain.get("policy")) == ("forward", "drop")
        and chain["table"] != ruleset.TABLE
    ]
    if chains:
        text = f"The chain {', '.join(chains)} drops forwarded packets that it does not accept."
        return at_risk("other_rules", text, "Accept there the packets of tunnels, or remove it.")
    return met("other_rules", "No chain of another program drops all forwarded packets.")


def _chains() -> list[dict[str, Any]]:
    library = Nftables()
    library.set_json_output(True)
    status, output, _ = library.cmd("list chains")
    if status or not output:
        return []
    return [item["chain"] for item in json.loads(output)["nftables"] if "chain" in item]
