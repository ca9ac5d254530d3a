"""Counters of the packets that a concentrator drops, with their labels."""

from __future__ import annotations

# Named nftables counters: they are read without the rules and the maps.
COUNTERS = {
    "between_tunnels": "Tunnel to tunnel",
    "outside_tunnels": "Not matched by any tunnel",
    "to_the_gateway": "Tunnel to the concentrator itself",
}

# ESP checks decrypted packets itself (RFC 4301, 5.2), outside the rules and their counters.
BY_ESP = "Source not allowed in this tunnel (anti-spoofing)"
