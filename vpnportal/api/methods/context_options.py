"""SoftLayer_Network_Tunnel_Module_Context: defaults and options from the old API reference.

The getters omit newer algorithms, which their clients do not know. `editObject` accepts old and
newer algorithms.
"""

from __future__ import annotations

from typing import Any

from vpnportal.api.calls import Caller
from vpnportal.api.methods.contexts import context_service
from vpnportal.domain.tunnel.algorithms import KEYLIFE_SECONDS
from vpnportal.models import Scope

# The key lives are those of the reference. A new tunnel has 14400 and 3600.
VALUES: dict[str, Any] = {
    "getAuthenticationDefault": "MD5",
    "getAuthenticationOptions": ["MD5", "SHA1", "SHA256"],
    "getEncryptionDefault": "3DES",
    "getEncryptionOptions": ["DES", "3DES", "AES128", "AES192", "AES256"],
    "getDiffieHellmanGroupDefault": 2,
    "getDiffieHellmanGroupOptions": [0, 1, 2, 5],
    "getKeylifeLimits": [KEYLIFE_SECONDS[0], KEYLIFE_SECONDS[-1]],
    "getPhaseOneKeylifeDefault": "3600",
    "getPhaseTwoKeylifeDefault": "28800",
}


def _register_getter(name: str, value: Any) -> None:
    @context_service.method(name, scope=Scope.READ)
    def get_value(caller: Caller) -> Any:
        return value


for _name, _value in VALUES.items():
    _register_getter(_name, _value)
