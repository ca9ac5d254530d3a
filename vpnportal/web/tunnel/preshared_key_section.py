"""The preshared key on a tunnel's page: recorded reveals, weakness, and the revealed key.

A module of its own, because `page` imports it and the views in `preshared_key` import `page`.
"""

from __future__ import annotations

from dataclasses import dataclass

from vpnportal import services
from vpnportal.domain.tunnel.preshared_keys import RevealedKey, key_weakness
from vpnportal.models import KeyReveal, Tunnel
from vpnportal.services import DEFAULT_ROTATION_DAYS, Rotation, TunnelState
from vpnportal.web.responses import HtmxRequest
from vpnportal.web.tunnel.access import is_editable, is_owned

# The page lists the newest views of the key.
MAX_VIEWS = 3


@dataclass(frozen=True, slots=True)
class PresharedKeySection:
    """The content of `tunnel/sections/preshared_key.html`.

    `is_owner` says that the user may reveal the key. `weakness` is "" for users who may not edit
    the tunnel.
    """

    is_owner: bool
    weakness: str
    views: list[KeyReveal]
    rotation: Rotation
    revealed: RevealedKey | None = None
    refusal: str = ""
    rotation_days: str = str(DEFAULT_ROTATION_DAYS)


def preshared_key_section(
    request: HtmxRequest,
    tunnel: Tunnel,
    *,
    state: TunnelState | None = None,
    revealed: RevealedKey | None = None,
    refusal: str = "",
) -> PresharedKeySection:
    """Return the preshared key section; only the field `revealed` contains the key.

    The state of the tunnel is read unless it is given.
    """
    state = state or services.state_of(tunnel)
    key = tunnel.preshared_key
    is_owner = is_owned(request, tunnel)
    shows_weakness = bool(key) and (is_owner or is_editable(request, tunnel))
    return PresharedKeySection(
        is_owner=is_owner,
        weakness=key_weakness(key.open(tunnel.preshared_key_context)) if shows_weakness else "",
        views=list(tunnel.key_reveals.select_related("author")[:MAX_VIEWS]),
        rotation=services.rotation_of(tunnel, state.live_or_applying),
        revealed=revealed,
        refusal=refusal,
    )
