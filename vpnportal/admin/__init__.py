"""Django's admin for the operators of the service: places, subnets, pools, accounts, tunnels.

Nothing of a draft and no preshared key is in it; a tunnel is moved here and otherwise looked at.
"""

from vpnportal.admin import accounts, concentrators, tunnels, users

__all__ = ["accounts", "concentrators", "tunnels", "users"]
