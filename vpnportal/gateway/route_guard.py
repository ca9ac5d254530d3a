"""The route guard: stops announcing a gateway's tunnels when its charon is gone.

It is a process of its own, without database and queue. The worker and the monitor may be stopped
for an upgrade, or fail with the database, and would not notice then that charon ends. The worker
announces the routes again: its converge finds them missing once charon has the connections.
"""

from __future__ import annotations

import logging
import time
from typing import NoReturn

from vpnportal.gateway.announced_routes import AnnouncedRoutes, add_routes, remove_routes
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.vici.session import CharonSession

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
# A charon that crashed is back after two seconds. If there are thousands of connections, the first
# is there some seconds later. Kernel ESP carries packets in the meantime.
GONE_SECONDS = 10.0
# A charon may be busy for long. The monitor notices earlier that it does not answer, so it requests
# the converge that announces the routes again.
SILENT_SECONDS = 20.0


class RouteGuard:
    """A guard of the announced routes in this process's network namespace."""

    def __init__(self, vici_socket: str) -> None:
        self._vici_socket = vici_socket
        self._routes = AnnouncedRoutes()
        self._served_at = time.monotonic()

    def run(self) -> NoReturn:
        """Guard the routes for ever."""
        while True:
            try:
                with CharonSession(self._vici_socket, SILENT_SECONDS) as charon:
                    self._watch(charon)
            except GatewayError as error:
                self._withdraw_if_gone(str(error))
            time.sleep(CHECK_SECONDS)

    def _watch(self, charon: CharonSession) -> NoReturn:
        """Check charon until it does not answer, which raises GatewayError."""
        # charon is empty when it starts. After that, only the worker unloads connections.
        has_connections = False
        while True:
            has_connections = has_connections or charon.has_portal_connections()
            if has_connections:
                charon.version()
                self._served_at = time.monotonic()
            else:
                routes = self._withdraw_if_gone("charon has no connection of the portal.")
                if routes and charon.has_portal_connections():
                    # The worker loaded one in the meantime, and may have seen the routes before.
                    add_routes(routes)
            time.sleep(CHECK_SECONDS)

    def _withdraw_if_gone(self, reason: str) -> list[str]:
        """Remove the announced routes if charon has served no tunnel for GONE_SECONDS.

        Returns the removed routes.
        """
        if time.monotonic() - self._served_at < GONE_SECONDS:
            return []
        try:
            if routes := sorted(self._routes.read()):
                remove_routes(routes)
                log.warning("Stopped announcing %d routes: %s", len(routes), reason)
        except GatewayError as error:
            log.warning("Cannot stop announcing routes: %s", error)
            return []
        return routes
