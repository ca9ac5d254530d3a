"""The route guard: it withdraws the routes of a charon that is gone, and only these."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vpnportal.gateway import route_guard
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.route_guard import GONE_SECONDS, RouteGuard

ROUTES = {"10.1.255.92/30", "203.0.113.1/32"}


class Stop(Exception):
    """End of a test's guard, which otherwise runs for ever."""


class Gateway:
    """A gateway with announced routes; `charon` answers each request, also that of a session."""

    def __init__(self, charon: Callable[[Gateway], bool]) -> None:
        self.routes = set(ROUTES)
        self.seconds = 0
        self.requests: list[int] = []
        self._charon = charon

    def answer(self) -> bool:
        self.requests.append(self.seconds)
        return self._charon(self)

    def run(self, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Run a guard for some seconds."""

        def sleep(_: float) -> None:
            self.seconds += 1
            if self.seconds > seconds:
                raise Stop

        replacements = {
            "CharonSession": lambda path, timeout: Session(self),
            "AnnouncedRoutes": lambda: Routes(self),
            "add_routes": self.routes.update,
            "remove_routes": self.routes.difference_update,
        }
        for name, replacement in replacements.items():
            monkeypatch.setattr(route_guard, name, replacement)
        monkeypatch.setattr(route_guard.time, "sleep", sleep)
        monkeypatch.setattr(route_guard.time, "monotonic", lambda: float(self.seconds))
        with pytest.raises(Stop):
            RouteGuard("/run/charon.vici").run()


class Session:
    """A vici session with the charon of a `Gateway`."""

    def __init__(self, gateway: Gateway) -> None:
        self.has_portal_connections = self.version = gateway.answer
        gateway.answer()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        return


class Routes:
    """The announced routes of a `Gateway`."""

    def __init__(self, gateway: Gateway) -> None:
        self.read = lambda: frozenset(gateway.routes)


def gone(gateway: Gateway) -> bool:
    raise GatewayError("charon is not running.")


def test_a_charon_with_connections_keeps_its_routes(monkeypatch: pytest.MonkeyPatch):
    gateway = Gateway(lambda _: True)

    gateway.run(100, monkeypatch)

    assert gateway.routes == ROUTES


@pytest.mark.parametrize("charon", [gone, lambda _: False])
def test_a_charon_that_is_gone_or_empty_loses_its_routes_after_a_grace_time(
    monkeypatch: pytest.MonkeyPatch, charon: Callable[[Gateway], bool]
):
    early, late = Gateway(charon), Gateway(charon)

    early.run(int(GONE_SECONDS) - 1, monkeypatch)
    late.run(int(GONE_SECONDS) + 1, monkeypatch)

    assert (early.routes, late.routes) == (ROUTES, set())


def test_a_charon_that_crashes_and_is_loaded_again_in_time_keeps_its_routes(
    monkeypatch: pytest.MonkeyPatch,
):
    def crash(gateway: Gateway) -> bool:
        if gateway.seconds in (10, 11):
            raise GatewayError("charon is not running.")
        return gateway.seconds not in (12, 13)

    gateway = Gateway(crash)
    gateway.run(60, monkeypatch)

    assert gateway.routes == ROUTES


def test_routes_that_the_worker_saw_before_it_loaded_a_connection_stay(
    monkeypatch: pytest.MonkeyPatch,
):
    def loaded_just_after_the_guard_asked(gateway: Gateway) -> bool:
        late = [second for second in gateway.requests if second >= GONE_SECONDS]
        return len(late) > 1

    gateway = Gateway(loaded_just_after_the_guard_asked)
    gateway.run(60, monkeypatch)

    assert gateway.routes == ROUTES
