"""Drivers of a gateway: strongSwan over vici, nftables and conntrack over netlink; no Django."""

from vpnportal.gateway.errors import GatewayError, GatewayRefused

__all__ = ["GatewayError", "GatewayRefused"]
