"""The Django admin for service operators: concentrators, address pools, subnets, accounts, tunnels.

It shows neither drafts nor preshared keys. It moves tunnels and changes nothing else of them.
"""

from vpnportal.admin import accounts, concentrators, tunnels, users

__all__ = ["accounts", "concentrators", "tunnels", "users"]
