"""The swanctl file that plays the customer's VPN device; written once, then a person's own."""

from __future__ import annotations

import os
import re
import secrets
import string
from pathlib import Path

# The portal never reads or writes this file. The addresses are those of topology.py.
TEXT = """\
# The customer's VPN device, as a swanctl file: edit it, then load it again with the command that
# `manage.py lab status` prints (that swanctl finds no folders of certificates is no mistake).
# It is only written when it does not exist. `man swanctl.conf` tells what each word means.
connections {
    customer {
        # 1 is IKEv1 (main mode here), 2 is IKEv2, 0 answers both.
        version = 1
        local_addrs = 203.0.113.2
        remote_addrs = 203.0.113.1

        # Phase one: encryption - authentication - Diffie-Hellman group 5. Other words are
        # des 3des aes128 aes192, md5 sha1, modp768 (group 1) and modp1024 (group 2).
        proposals = aes256-sha256-modp1536
        # Renewed after 12960 s and dead 1440 s later: a key life of 14400 s.
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
                # What is protected: the customer's own subnet, and the hosted one.
                local_ts = 192.168.10.0/24
                remote_ts = 10.2.0.0/24
                # Phase two. The group at the end is perfect forward secrecy; leave it out for none.
                esp_proposals = aes256-sha256-modp1536
                rekey_time = 3240s
                life_time = 3600s
                # The device answers; it does not start a tunnel by itself.
                start_action = none
            }
        }
    }
    # The same for the provider's other addresses, whence an ordered or a moved tunnel comes.
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
LETTERS = string.ascii_letters + string.digits


def write_once(file: Path) -> None:
    """Writes the file as shipped, with a new random key, unless there is one already."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as stream:
        stream.write(TEXT.replace("@KEY@", new_key()))


def new_key() -> str:
    """32 random letters and digits, which are 190 bits; to swanctl, 0x and 0s begin other keys."""
    return secrets.choice(string.ascii_letters) + "".join(
        secrets.choice(LETTERS) for _ in range(31)
    )


def preshared_key(file: Path) -> str:
    """The first secret in the file, or a sentence in its place."""
    found = re.search(r'^\s*secret\s*=\s*"?(.*?)"?\s*$', file.read_text(), re.MULTILINE)
    return found[1] if found else "(no secret in the file)"
