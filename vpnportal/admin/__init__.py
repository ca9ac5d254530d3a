"""Django's admin for the operators of the service: places, subnets, pools, accounts, tunnels.

Nothing of a draft and no preshared key is in it; a tunnel is moved here and otherwise looked at.
"""

from vpnportal.admin import accounts, people, places, tunnels

__all__ = ["accounts", "people", "places", "tunnels"]
