"""The swanctl file of the customer's VPN device: written once, then left to the operator."""

from __future__ import annotations

import os
import re
import secrets
import string
from pathlib import Path

# The portal never reads or writes this file. The addresses are in topology.py.
TEXT = """\
# The customer's VPN device as a swanctl file. Edit it, then load it with the command that
# `manage.py lab status` prints. Messages about missing folders of certificates are harmless.
# `lab up` writes this file only if it does not exist. See swanctl.conf(5).
connections {
    customer {
        # 1 is IKEv1 (main mode here), 2 is IKEv2, 0 answers both.
        version = 1
        local_addrs = 203.0.113.2
        remote_addrs = 203.0.113.1

        # Phase one: encryption - authentication - Diffie-Hellman group 5. Other values are
        # des 3des aes128 aes192, md5 sha1, modp768 (group 1) and modp1024 (group 2).
        proposals = aes256-sha256-modp1536
        # Rekeyed after 12960 s, deleted 1440 s later: a key life of 14400 s.
        rekey_time = 12960s
        over_time = 1440s
        dpd_delay = 30s

        local {
            auth = psk
            id = 203.0.113.2
        }
        remote {
            auth = psk
            id = 203.0.113.1
        }
        children {
            private {
                # The traffic selectors: the customer's subnet and the hosted subnet.
                local_ts = 192.168.10.0/24
                remote_ts = 10.2.0.0/24
                # Phase two. With a group at the end, perfect forward secrecy is on.
                esp_proposals = aes256-sha256-modp1536
                rekey_time = 3240s
                life_time = 3600s
                # The device is the responder only.
                start_action = none
            }
        }
    }
    # The provider's other addresses, for ordered and moved tunnels.
    others : connections.customer {
        remote_addrs = 203.0.113.5, 203.0.113.16/28, 203.0.113.32/28
        remote {
            id = 203.0.113.0/24
        }
    }
}
secrets {
    ike-customer {
        id-1 = 203.0.113.1
        id-2 = 203.0.113.2
        id-3 = 203.0.113.0/24
        secret = "@KEY@"
    }
}
"""
KEY_CHARACTERS = string.ascii_letters + string.digits


def write_once(file: Path) -> None:
    """Write the file with a new random preshared key, unless it exists."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as stream:
        stream.write(TEXT.replace("@KEY@", new_key()))


def new_key() -> str:
    """Return 32 random letters and digits, which are 190 bits.

    The first is a letter, because swanctl decodes keys that begin with 0x or 0s.
    """
    return secrets.choice(string.ascii_letters) + "".join(
        secrets.choice(KEY_CHARACTERS) for _ in range(31)
    )


def preshared_key(file: Path) -> str:
    """Return the first secret in the file, or a note that there is none."""
    match = re.search(r'^\s*secret\s*=\s*"?(.*?)"?\s*$', file.read_text(), re.MULTILINE)
    return match[1] if match else "(no secret in the file)"
