"""Other tunnels for a running product, live and dialled; run in its environment."""

from __future__ import annotations

from django.conf import settings

from lab.peers import make_peers
from tests.bench.bare import Bare
from tests.bench.portal import add_live, specification
from tests.desired_state import compile_specs
from vpnportal.encryption import fingerprint_key
from vpnportal.models import Account, Concentrator


def load(count: int) -> None:
    """So many, in an account of their own. The product has one tunnel already, with the id 1."""
    specs = [specification(peer) for peer in make_peers(count + 1)[1:]]
    account = Account.objects.create(name="Another account")
    add_live(specs, Concentrator.objects.get(), account)
    desired = compile_specs(specs, fingerprint_key())
    Bare(settings.VICI_SOCKET).load_all(desired, start_action="start")
