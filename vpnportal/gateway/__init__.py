"""How it is done: strongSwan over vici and nftables, without Django."""

from vpnportal.gateway.errors import GatewayError, GatewayRefused

__all__ = ["GatewayError", "GatewayRefused"]
