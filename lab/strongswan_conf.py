"""The text of strongswan.conf, and the command lines of strongSwan's programs."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from lab.dataplane import DataPlane

CHARON = "/usr/lib/ipsec/charon"
PLUGINS = (
    "random nonce aes rc2 sha1 sha2 md5 hmac kdf gcrypt openssl gmp pem pkcs1 x509 pubkey"
    " constraints curve25519 {plane} socket-default vici counters"
)
# charon opens its socket, log and device as root, and becomes this user before it answers anything:
# vici lets its client name files, which charon reads. The socket is open to the group.
CONCENTRATOR_USER, CONCENTRATOR_GROUP = "vpnportal-charon", "vpnportal-gateway"
CONCENTRATOR_SETTINGS = f"""user = {CONCENTRATOR_USER}
    group = {CONCENTRATOR_GROUP}
    {{plane}}"""
# Levels above 2 would log keys. Level 2 of cfg logs the proposals of both peers.
SETTINGS = """\
# `manage.py lab up` overwrites this file.
charon {{
    load = {plugins}
    {settings}
    filelog {{
        laboratory {{
            path = {log}
            append = yes
            flush_line = yes
            time_format = "%FT%T"
            ike_name = yes
            default = 1
            ike = 2
            cfg = 2
            net = 1
        }}
    }}
    plugins {{
        vici {{
            socket = {uri}
        }}
        {plane}
    }}
    start-scripts {{
        {script}
    }}
}}
"""


def settings(plane: DataPlane, socket: Path, log: Path, script: str, is_concentrator: bool) -> str:
    """Return the text of a strongswan.conf; charon runs a non-empty script when it starts."""
    return SETTINGS.format(
        plugins=PLUGINS.format(plane=plane.plugins),
        log=_quoted(str(log)),
        uri=_quoted(f"unix://{socket}"),
        plane=plane.settings,
        settings=CONCENTRATOR_SETTINGS.format(plane=plane.concentrator_settings)
        if is_concentrator
        else "",
        script=f"load = {_quoted(script)}" if script else "",
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def load_command(socket: Path, connections: Path) -> list[str]:
    """Return the command that loads a swanctl file into the charon behind the socket."""
    arguments = ["--noprompt", "--uri", f"unix://{socket}", "--file", str(connections)]
    return [*unconfined(), "swanctl", "--load-all", *arguments]


@cache
def unconfined() -> tuple[str, ...]:
    """Return the command prefix that lifts AppArmor's confinement to the files in /etc.

    Empty on a machine without AppArmor.
    """
    prefix = ("setpriv", "--apparmor-profile", "unconfined")
    try:
        probe = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    except OSError:
        return ()
    return prefix if probe.returncode == 0 else ()
