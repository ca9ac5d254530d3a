"""`manage.py guard_routes`: the route guard of one concentrator."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from vpnportal.gateway.route_guard import RouteGuard


class Command(BaseCommand):
    """Command that runs the route guard on the gateway; it needs the right to change routes."""

    help = "Stop announcing tunnels while charon is gone, until a signal stops this command."
    # The guard works without a database.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        RouteGuard(settings.VICI_SOCKET).run()
