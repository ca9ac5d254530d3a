"""Counters of the packets that a concentrator drops, with their labels."""

from __future__ import annotations

# Named nftables counters: they are read without the rules and the maps.
COUNTERS = {
    "between_tunnels": "Tunnel to tunnel",
    "outside_tunnels": "Not matched by any tunnel",
    "not_from_hosted": "Unencrypted, not from the hosted side (anti-spoofing)",
    "to_the_gateway": "Tunnel to the concentrator itself",
}

# IPsec checks packets itself (RFC 4301, 5.2), outside the rules and their counters. It refuses a
# decrypted packet whose source is not in its tunnel's subnets. It also refuses an unencrypted
# packet that a policy wants encrypted: one from the public side with a customer's address.
BY_ESP = "Source not allowed in this tunnel, or not encrypted (anti-spoofing)"
