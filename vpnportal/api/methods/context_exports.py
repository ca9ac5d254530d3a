"""SoftLayer_Network_Tunnel_Module_Context: exports for the peer, without the preshared key."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from vpnportal.api.calls import Caller
from vpnportal.api.methods.contexts import context_service, find_visible
from vpnportal.api.types.properties import rfc3339
from vpnportal.domain.exports import PeerView
from vpnportal.domain.exports.hosts_file import legacy_hosts
from vpnportal.domain.exports.parameters import parameters
from vpnportal.models import Scope, Tunnel
from vpnportal.services import live_peer_view


def _register_export(
    text_method: str, file_method: str, suffix: str, write: Callable[[PeerView], str]
) -> None:
    @context_service.method(text_method, find=find_visible, scope=Scope.READ)
    def get_text(caller: Caller, tunnel: Tunnel) -> str:
        return write(live_peer_view(tunnel))

    @context_service.method(file_method, find=find_visible, scope=Scope.READ)
    def get_file(caller: Caller, tunnel: Tunnel) -> dict[str, Any]:
        """Return a SoftLayer_Container_Utility_File_Entity; its content is base64."""
        peer_view = live_peer_view(tunnel)
        content = write(peer_view).encode()
        return {
            "content": b64encode(content).decode(),
            "contentType": "text/plain",
            "createDate": rfc3339(timezone.now()),
            "isShared": 0,
            "name": f"{peer_view.name}{suffix}",
            "size": len(content),
        }


_register_export(
    "getAddressTranslationConfigurations",
    "downloadAddressTranslationConfigurations",
    ".hosts",
    legacy_hosts,
)
_register_export(
    "getParameterConfigurationsForCustomerView",
    "downloadParameterConfigurations",
    ".parameters.txt",
    parameters,
)
