"""Where a concentrator drops packets that no tunnel may carry: its counters, in words."""

from __future__ import annotations

# Named in nftables, so that reading them reads no rule and no map.
COUNTERS = {
    "between_tunnels": "From one tunnel into another",
    "outside_tunnels": "On its way past the tunnels",
    "to_the_gateway": "From a tunnel to the gateway itself",
}

# ESP's own check of what it decrypted (RFC 4301, 5.2) is no rule of ours and has no counter there.
BY_ESP = "Out of a tunnel that does not lead there"
