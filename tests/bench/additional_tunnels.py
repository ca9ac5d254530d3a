"""Additional live tunnels for a running portal; run in its environment."""

from __future__ import annotations

from django.conf import settings

from lab.peers import make_peers
from tests.bench.bare_calls import BareCalls
from tests.bench.portal import add_live, specification
from tests.desired_state import compile_specs
from vpnportal.encryption import fingerprint_key
from vpnportal.models import Account, Concentrator


def load(count: int) -> None:
    """Create and initiate `count` tunnels of another account; the portal has tunnel 1 already."""
    specs = [specification(peer) for peer in make_peers(count + 1)[1:]]
    account = Account.objects.create(name="Another account")
    add_live(specs, Concentrator.objects.get(), account)
    desired = compile_specs(specs, fingerprint_key())
    BareCalls(settings.VICI_SOCKET).load_all(desired, start_action="start")
