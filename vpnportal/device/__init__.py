"""How it is done: strongSwan over vici and nftables, without Django."""

from vpnportal.device.errors import DeviceError, DeviceRefused

__all__ = ["DeviceError", "DeviceRefused"]
