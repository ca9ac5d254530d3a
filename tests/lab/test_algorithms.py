"""Every choice of the original panel comes up against the customer's device, with real ESP.

Covered on each IKE version, in 60 negotiations: all 45 combinations of phase one (5 encryptions, 3
authentications, groups 1, 2 and 5), and all 60 of phase two (the same, and without PFS). What is
not covered is every combination of one with every of the other.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import vici

from tests.unit.samples import EXAMPLE, KEY
from vpnportal.device.charon import Charon
from vpnportal.domain.compile import compile_specs
from vpnportal.domain.diff import Stale
from vpnportal.domain.spec import PhaseOne, PhaseTwo, TunnelSpec
from vpnportal.lab.laboratory import Laboratory

# The device's words, written down apart from the product's own table of them.
ENCRYPTIONS = {
    "DES": "des",
    "3DES": "3des",
    "AES128": "aes128",
    "AES192": "aes192",
    "AES256": "aes256",
}
AUTHENTICATIONS = {"MD5": "md5", "SHA1": "sha1", "SHA256": "sha256"}
GROUPS = {1: "modp768", 2: "modp1024", 5: "modp1536"}
PHASE_ONE = list(product(ENCRYPTIONS, AUTHENTICATIONS, GROUPS))
PHASE_TWO = list(product((1, 2, 5, 0), AUTHENTICATIONS, ENCRYPTIONS))
PAIRS = [(PHASE_ONE[at * 7 % len(PHASE_ONE)], two) for at, two in enumerate(PHASE_TWO)]

DEVICE = """
connections {{ customer {{
    version = {version}
    local_addrs = 203.0.113.2
    remote_addrs = 203.0.113.1
    proposals = {ike}
    local {{
        auth = psk
        id = 203.0.113.2
    }}
    remote {{
        auth = psk
        id = 203.0.113.1
    }}
    children {{ private {{
        local_ts = 192.168.10.0/24
        remote_ts = 10.2.0.0/24
        esp_proposals = {esp}
    }} }}
}} }}
secrets {{ ike-customer {{
    id-1 = 203.0.113.1
    id-2 = 203.0.113.2
    secret = "{key}"
}} }}
"""


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory) -> Iterator[Laboratory]:
    own = Laboratory(os.environ.get("VPNPORTAL_LAB", "vt") + "a", tmp_path_factory.mktemp("a"))
    own.up()
    yield own
    own.down()


def set_up_device(laboratory: Laboratory, version: int, one: tuple, two: tuple) -> None:
    encryption, authentication, group = one
    pfs, authentication_two, encryption_two = two
    ike = (ENCRYPTIONS[encryption], AUTHENTICATIONS[authentication], GROUPS[group])
    esp = (ENCRYPTIONS[encryption_two], AUTHENTICATIONS[authentication_two])
    esp = (*esp, GROUPS[pfs]) if pfs else esp
    file = Path(laboratory.peer.folder) / "swanctl.conf"
    file.write_text(
        DEVICE.format(
            version=version, ike="-".join(ike), esp="-".join(esp), key=EXAMPLE.preshared_key
        )
    )
    subprocess.run(laboratory.peer.load_command(), check=True, capture_output=True)


def asked(version: int, one: tuple, two: tuple) -> TunnelSpec:
    group, authentication, encryption = two
    return replace(
        EXAMPLE,
        ike_version=version,
        phase_one=PhaseOne(*one, 14_400),
        phase_two=PhaseTwo(encryption, authentication, bool(group), group, 3_600),
    )


def installed(session: vici.Session, child: str) -> dict | None:
    for listed in session.list_sas({"ike": "ctx42"}):
        for sa in listed["ctx42"]["child-sas"].values():
            if sa["name"].decode() == child and sa["state"] == b"INSTALLED":
                return sa
    return None


def within(seconds: float, what):
    deadline = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def ping(laboratory: Laboratory) -> bool:
    """In IKEv1 the responder installs its side after the initiator; so a later try counts."""
    where = ["ip", "netns", "exec", f"{laboratory.prefix}-customer"]
    command = [*where, "ping", "-c", "1", "-W", "1", "10.2.0.10"]
    return within(2, lambda: subprocess.run(command, capture_output=True).returncode == 0)


def comes_up(laboratory: Laboratory, charon: Charon, spec: TunnelSpec) -> bool:
    desired = compile_specs([spec], KEY)
    (connection,), (secret,) = desired.connections.values(), desired.secrets.values()
    (child,) = connection.children
    assert not any(refusal for _, refusal in charon.load((secret, connection)))
    charon.initiate(connection.name, child)()
    with vici_session(laboratory) as session:
        first = within(3, lambda: installed(session, child))
        up = bool(first) and ping(laboratory) and renews(session, child, first, spec)
    for sa in charon.associations("ctx42"):
        charon.terminate(Stale("ctx42", sa.unique_id, whole_ike=True))
    charon.forget(secret.id)
    return up


def renews(session: vici.Session, child: str, first: dict, spec: TunnelSpec) -> bool:
    """IKEv2 shows the group of PFS only when it first rekeys (RFC 7296, 1.2)."""
    if spec.ike_version == 2:
        session.rekey({"child": child})

        def second():
            sa = installed(session, child)
            return sa if sa and sa["uniqueid"] != first["uniqueid"] else None

        first = within(3, second)
    return bool(first) and ("dh-group" in first) == spec.phase_two.pfs


@contextmanager
def vici_session(laboratory: Laboratory) -> Iterator[vici.Session]:
    """The bare protocol, because the product's own layer does not tell algorithms."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(laboratory.concentrator.socket))
        yield vici.Session(connection)


@pytest.mark.parametrize("version", [1, 2])
def test_every_choice_of_the_original_panel_comes_up(laboratory, version):
    failed = []
    with Charon(str(laboratory.concentrator.socket)) as charon:
        for one, two in PAIRS:
            set_up_device(laboratory, version, one, two)
            if not comes_up(laboratory, charon, asked(version, one, two)):
                failed.append((one, two))

    assert {one for one, _ in PAIRS} == set(PHASE_ONE)
    assert failed == []
