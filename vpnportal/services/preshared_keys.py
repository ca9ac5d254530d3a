"""Preshared keys: generated, and revealed to users with a record of each reveal."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from vpnportal.domain.tunnel.preshared_keys import RevealedKey, new_key
from vpnportal.models import Event, KeyReveal, Tunnel, record_event, record_event_of_each
from vpnportal.services.drafts import set_preshared_key
from vpnportal.services.notices import notify_owners


@sensitive_variables("key")
def generate_preshared_key(tunnel: Tunnel, author: User) -> RevealedKey:
    """Save a new random key in the draft, record the reveal and return the key."""
    key = new_key()
    with transaction.atomic():
        set_preshared_key(tunnel, key, author)
        KeyReveal.objects.create(tunnel=tunnel, author=author)
        record_event(Event.Action.TUNNEL_KEY_REVEALED, actor=author, tunnel=tunnel)
    return RevealedKey(key)


@sensitive_variables("key")
def reveal_preshared_key(tunnel: Tunnel, author: User) -> RevealedKey | None:
    """Record the reveal and return the draft's key; None if there is none."""
    key = tunnel.preshared_key.open(tunnel.preshared_key_context)
    if not key:
        return None
    with transaction.atomic():
        KeyReveal.objects.create(tunnel=tunnel, author=author)
        record_event(Event.Action.TUNNEL_KEY_REVEALED, actor=author, tunnel=tunnel)
        text = f"{author} was shown the preshared key of the tunnel {tunnel.name}."
        notify_owners(tunnel.account, f"Preshared key of {tunnel.name} shown", text)
    return RevealedKey(key)


def record_key_reveals(tunnel_ids: Iterable[int], author: User) -> None:
    """Record that the keys of these drafts are about to be shown."""
    pks = list(tunnel_ids)
    # Without rows no transaction begins, so a read waits for no writer.
    if not pks:
        return
    with transaction.atomic():
        KeyReveal.objects.bulk_create(KeyReveal(tunnel_id=pk, author=author) for pk in pks)
        record_event_of_each(Event.Action.TUNNEL_KEY_REVEALED, pks, actor=author)
