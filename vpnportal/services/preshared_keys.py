"""Preshared keys: made here, and shown to somebody, which is written down."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from vpnportal.domain.tunnel.preshared_keys import RevealedKey, new_key
from vpnportal.models import KeyReveal, Tunnel
from vpnportal.services.drafts import set_preshared_key


@sensitive_variables("key")
def generate_preshared_key(tunnel: Tunnel, author: User) -> RevealedKey:
    """A new random key, kept in the draft; whoever asked for it is shown it this once."""
    key = new_key()
    with transaction.atomic():
        set_preshared_key(tunnel, key, author)
        KeyReveal.objects.create(tunnel=tunnel, author=author)
    return RevealedKey(key)


@sensitive_variables("key")
def reveal_preshared_key(tunnel: Tunnel, author: User) -> RevealedKey | None:
    """The draft's key, if there is one; that it was shown is written down first."""
    key = tunnel.preshared_key.open(tunnel.preshared_key_context)
    if not key:
        return None
    KeyReveal.objects.create(tunnel=tunnel, author=author)
    return RevealedKey(key)


def note_shown_keys(tunnel_ids: Iterable[int], author: User) -> None:
    """Write down that the keys of these drafts are about to be shown."""
    # A list: where it is empty nothing is begun, and what only reads waits for no writer.
    shown = [KeyReveal(tunnel_id=pk, author=author) for pk in tunnel_ids]
    if len(shown) == 1:
        # One statement without a transaction around it, during which every writer would wait.
        shown[0].save(force_insert=True)
    else:
        KeyReveal.objects.bulk_create(shown)
