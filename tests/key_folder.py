"""Folders of key files: that of the portal under test, and those of its gateways inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vpnportal import encryption

FILES = {
    "SEAL_KEY_FILE": "seal.key",
    "FINGERPRINT_KEY_FILE": "fingerprint.key",
    "GATEWAY_KEY_FILE": "gateway.key",
    "CONCENTRATOR_KEY_FILE": "concentrator.key",
}


def use_keys(settings: Any, folder: Path) -> None:
    """Let this process have the key files of a folder, and no others."""
    settings.KEYS = folder
    for name, file in FILES.items():
        setattr(settings, name, folder / file)
    encryption.forget_keys()


def use_keys_of_gateway(settings: Any, concentrator: str) -> None:
    """Let this process have the key files of a gateway, which `manage.py keys` made here."""
    use_keys(settings, settings.KEYS / concentrator)
