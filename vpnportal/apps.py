"""The app of the portal. After each migrate, gateways have the rights of this version."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class PortalConfig(AppConfig):
    """The config of the portal."""

    name = "vpnportal"

    def ready(self) -> None:
        post_migrate.connect(_apply_rights, sender=self)


def _apply_rights(using: str, **_: Any) -> None:
    from vpnportal.deployment.rights_in_database import apply_rights

    apply_rights(connections[using])
