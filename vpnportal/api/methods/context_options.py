"""SoftLayer_Network_Tunnel_Module_Context: what its lists offered, as the old reference has it.

The newer algorithms of the panel are in none of these: a client that asks knows only the old ones.
`editObject` takes both.
"""

from __future__ import annotations

from typing import Any

from vpnportal.api.calls import Caller
from vpnportal.api.methods.contexts import context
from vpnportal.domain.tunnel.algorithms import KEYLIFE_SECONDS

# The key lives are those of the reference. A tunnel that is ordered has 14400 and 3600.
ANSWERS: dict[str, Any] = {
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


def _known(name: str, value: Any) -> None:
    @context.method(name)
    def tell(caller: Caller) -> Any:
        return value


for _name, _value in ANSWERS.items():
    _known(_name, _value)
