"""The Django admin for service operators: concentrators, address pools, subnets, accounts, tunnels.

The admin shows neither drafts nor preshared keys. The only change to a tunnel is a move to
another concentrator.
"""

from vpnportal.admin import accounts, claims, concentrators, network_grants, tunnels, users

__all__ = ["accounts", "claims", "concentrators", "network_grants", "tunnels", "users"]
