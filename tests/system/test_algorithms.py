"""Every choice of the panel comes up against the customer's device, with real ESP.

Covered on each IKE version, in 60 negotiations: all 45 combinations of phase one (5 encryptions, 3
authentications, groups 1, 2 and 5), and all 60 of phase two (the same, and without PFS). What is
not covered is every combination of one with every of the other. The newer choices come up once,
in both phases where the version has them.
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

from lab.laboratory import Laboratory
from tests.desired_state import compile_specs
from tests.unit.samples import EXAMPLE, KEY
from vpnportal.domain.planning.plan import StaleSa
from vpnportal.domain.tunnel import algorithms
from vpnportal.domain.tunnel.spec import PhaseOne, PhaseTwo, TunnelSpec
from vpnportal.gateway.vici.session import CharonSession

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
NEWER_ENCRYPTIONS = {
    "AES128-GCM": "aes128gcm16",
    "AES192-GCM": "aes192gcm16",
    "AES256-GCM": "aes256gcm16",
    "ChaCha20-Poly1305": "chacha20poly1305",
}
NEWER_AUTHENTICATIONS = {"SHA384": "sha384", "SHA512": "sha512"}
NEWER_GROUPS = {
    14: "modp2048",
    15: "modp3072",
    16: "modp4096",
    17: "modp6144",
    18: "modp8192",
    19: "ecp256",
    20: "ecp384",
    21: "ecp521",
    31: "curve25519",
}
# Phase one, and phase two as PFS, authentication and encryption.
NEWER = [(("AES256", "SHA256", group), (group, "SHA256", "AES256")) for group in NEWER_GROUPS]
NEWER += [(("AES256", name, 14), (14, name, "AES256")) for name in NEWER_AUTHENTICATIONS]
NEWER_OF_IKEV1 = [
    (("AES256", "SHA256", 14), (14, "SHA256", name))
    for name in NEWER_ENCRYPTIONS
    if name != "ChaCha20-Poly1305"
]
NEWER_OF_IKEV2 = [
    ((name, digest, 19), (19, digest, name))
    for name in NEWER_ENCRYPTIONS
    for digest in ("SHA256", "SHA384")
]

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

# Seconds; two ends on one busy machine need some for 8192 bits of Diffie-Hellman.
PATIENCE = 20.0


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory) -> Iterator[Laboratory]:
    own = Laboratory(os.environ.get("VPNPORTAL_LAB", "vt") + "a", tmp_path_factory.mktemp("a"))
    own.up()
    yield own
    own.down()


def set_up_device(laboratory: Laboratory, version: int, one: tuple, two: tuple) -> None:
    encryption, authentication, group = one
    pfs, authentication_two, encryption_two = two
    digests, groups = AUTHENTICATIONS | NEWER_AUTHENTICATIONS, GROUPS | NEWER_GROUPS
    ciphers, digest = ENCRYPTIONS | NEWER_ENCRYPTIONS, digests[authentication]
    digest = f"prf{digest}" if encryption in NEWER_ENCRYPTIONS else digest
    ike = (ciphers[encryption], digest, groups[group])
    esp = (ciphers[encryption_two],)
    if encryption_two not in NEWER_ENCRYPTIONS:
        esp = (*esp, digests[authentication_two])
    esp = (*esp, groups[pfs]) if pfs else esp
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
    return within(PATIENCE, lambda: subprocess.run(command, capture_output=True).returncode == 0)


def comes_up(laboratory: Laboratory, charon: CharonSession, spec: TunnelSpec) -> bool:
    desired = compile_specs([spec], KEY)
    (connection,), (secret,) = desired.connections.values(), desired.secrets.values()
    (child,) = connection.children
    assert not any(refusal for _, refusal in charon.load((secret, connection)))
    charon.initiate(connection.name, child)()
    with vici_session(laboratory) as session:
        first = within(PATIENCE, lambda: installed(session, child))
        up = bool(first) and ping(laboratory) and renews(session, child, first, spec)
    for sa in charon.list_sas("ctx42"):
        charon.terminate(StaleSa("ctx42", sa.unique_id, whole_ike=True))
    charon.unload_shared(secret.id)
    return up


def renews(session: vici.Session, child: str, first: dict, spec: TunnelSpec) -> bool:
    """IKEv2 shows the group of PFS only when it first rekeys (RFC 7296, 1.2)."""
    if spec.ike_version == 2:
        session.rekey({"child": child})

        def second():
            sa = installed(session, child)
            return sa if sa and sa["uniqueid"] != first["uniqueid"] else None

        first = within(PATIENCE, second)
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
    with CharonSession(str(laboratory.concentrator.socket)) as charon:
        for one, two in PAIRS:
            set_up_device(laboratory, version, one, two)
            if not comes_up(laboratory, charon, asked(version, one, two)):
                failed.append((one, two))

    assert {one for one, _ in PAIRS} == set(PHASE_ONE)
    assert failed == []


@pytest.mark.parametrize(
    ("version", "pairs"),
    [(1, NEWER + NEWER_OF_IKEV1), (2, NEWER + NEWER_OF_IKEV2)],
    ids=["IKEv1", "IKEv2"],
)
def test_every_newer_choice_comes_up(laboratory, version, pairs):
    failed = []
    with CharonSession(str(laboratory.concentrator.socket)) as charon:
        for one, two in pairs:
            set_up_device(laboratory, version, one, two)
            spec = asked(version, one, two)
            if spec.problems() or not comes_up(laboratory, charon, spec):
                failed.append((one, two))

    assert failed == []


def test_every_choice_of_the_table_was_tried():
    assert set(ENCRYPTIONS) | set(NEWER_ENCRYPTIONS) == set(algorithms.ENCRYPTIONS)
    assert set(AUTHENTICATIONS) | set(NEWER_AUTHENTICATIONS) == set(algorithms.AUTHENTICATIONS)
    assert {0, *GROUPS, *NEWER_GROUPS} == set(algorithms.GROUPS)


def test_what_ikev1_does_not_have_is_refused_before_it_is_tried():
    fields = [
        [one.field for one in asked(1, *pair).problems()]
        for pair in (
            (("AES256-GCM", "SHA256", 14), (14, "SHA256", "AES256")),
            (("AES256", "SHA256", 14), (14, "SHA256", "ChaCha20-Poly1305")),
        )
    ]

    assert fields == [["phase_one_encryption"], ["phase_two_encryption"]]
