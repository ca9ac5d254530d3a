"""SoftLayer_Network_Tunnel_Module_Context: the texts for the other end, with no key in them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from vpnportal.api.calls import Caller
from vpnportal.api.methods.contexts import context, visible
from vpnportal.api.types.properties import moment
from vpnportal.domain.exports import PeerView
from vpnportal.domain.exports.hosts_file import names_of
from vpnportal.domain.exports.parameters import parameters
from vpnportal.models import Tunnel
from vpnportal.services.peer_config import live_peer_view


def _text(text: str, download: str, suffix: str, write: Callable[[PeerView], str]) -> None:
    @context.method(text, find=visible)
    def tell(caller: Caller, tunnel: Tunnel) -> str:
        return write(live_peer_view(tunnel))

    @context.method(download, find=visible)
    def file(caller: Caller, tunnel: Tunnel) -> dict[str, Any]:
        """A SoftLayer_Container_Utility_File_Entity; its content is base64."""
        end = live_peer_view(tunnel)
        content = write(end).encode()
        return {
            "content": b64encode(content).decode(),
            "contentType": "text/plain",
            "createDate": moment(timezone.now()),
            "isShared": 0,
            "name": f"{end.name}{suffix}",
            "size": len(content),
        }


_text(
    "getAddressTranslationConfigurations",
    "downloadAddressTranslationConfigurations",
    ".hosts",
    names_of,
)
_text(
    "getParameterConfigurationsForCustomerView",
    "downloadParameterConfigurations",
    ".parameters.txt",
    parameters,
)
