"""How it is done: strongSwan over vici and nftables, without Django."""

from vpnportal.gateway.errors import DeviceError, DeviceRefused

__all__ = ["DeviceError", "DeviceRefused"]
