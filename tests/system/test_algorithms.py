"""Every algorithm that a customer can choose, negotiated with the device and used by real ESP.

60 negotiations of each IKE version cover all 45 combinations of phase one (5 encryptions, 3
authentications, groups 1, 2 and 5). They cover all 60 of phase two, which may have no PFS. They do
not cover every pair of both phases. Each newer algorithm is negotiated once, in each phase in which
the IKE version has it.
"""

from __future__ import annotations

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
from tests.running_portal import laboratory_prefix
from tests.unit.samples import EXAMPLE, KEY
from vpnportal.domain.planning.plan import StaleSa
from vpnportal.domain.tunnel import algorithms
from vpnportal.domain.tunnel.spec import PhaseOne, PhaseTwo, TunnelSpec
from vpnportal.gateway.vici.session import CharonSession

# Not tried on kernel ESP yet.
pytestmark = [pytest.mark.userland, pytest.mark.debian13, pytest.mark.own_kernel]

# strongSwan's names, independent of the portal's own table.
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
PAIRS = [
    (PHASE_ONE[number * 7 % len(PHASE_ONE)], phase_two)
    for number, phase_two in enumerate(PHASE_TWO)
]
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

# Two charons on a busy machine need some seconds for 8192 bits of Diffie-Hellman.
NEGOTIATION_SECONDS = 20.0


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory) -> Iterator[Laboratory]:
    laboratory = Laboratory(laboratory_prefix("a"), tmp_path_factory.mktemp("a"))
    laboratory.up()
    yield laboratory
    laboratory.down()


def configure_device(
    laboratory: Laboratory, version: int, phase_one: tuple, phase_two: tuple
) -> None:
    encryption, authentication, group = phase_one
    pfs, authentication_two, encryption_two = phase_two
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


def specification(version: int, phase_one: tuple, phase_two: tuple) -> TunnelSpec:
    group, authentication, encryption = phase_two
    return replace(
        EXAMPLE,
        ike_version=version,
        phase_one=PhaseOne(*phase_one, 14_400),
        phase_two=PhaseTwo(encryption, authentication, bool(group), group, 3_600),
    )


def installed(session: vici.Session, child: str) -> dict | None:
    for listed in session.list_sas({"ike": "ctx42"}):
        for sa in listed["ctx42"]["child-sas"].values():
            if sa["name"].decode() == child and sa["state"] == b"INSTALLED":
                return sa
    return None


def within(seconds: float, get_result):
    """Return the first true result in these seconds, else the last result."""
    deadline = time.monotonic() + seconds
    while not (result := get_result()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return result


def ping(laboratory: Laboratory) -> bool:
    """Ping more than once: in IKEv1 the responder installs its SA after the initiator."""
    on_customer = ["ip", "netns", "exec", f"{laboratory.prefix}-customer"]
    command = [*on_customer, "ping", "-c", "1", "-W", "1", "10.2.0.10"]
    return within(
        NEGOTIATION_SECONDS, lambda: subprocess.run(command, capture_output=True).returncode == 0
    )


def comes_up(laboratory: Laboratory, charon: CharonSession, spec: TunnelSpec) -> bool:
    desired = compile_specs([spec], KEY)
    (connection,), (secret,) = desired.connections.values(), desired.secrets.values()
    (child,) = connection.children
    assert not any(refusal for _, refusal in charon.load((secret, connection)))
    charon.initiate(connection.name, child)()
    with vici_session(laboratory) as session:
        first = within(NEGOTIATION_SECONDS, lambda: installed(session, child))
        up = bool(first) and ping(laboratory) and rekeys(session, child, first, spec)
    for sa in charon.list_sas("ctx42"):
        charon.terminate(StaleSa("ctx42", sa.unique_id, whole_ike=True))
    charon.unload_shared(secret.id)
    return up


def rekeys(session: vici.Session, child: str, first: dict, spec: TunnelSpec) -> bool:
    """Return True if the CHILD_SA uses PFS as specified.

    IKEv2 negotiates the group of PFS only at the first rekey (RFC 7296, 1.2).
    """
    if spec.ike_version == 2:
        session.rekey({"child": child})

        def second():
            sa = installed(session, child)
            return sa if sa and sa["uniqueid"] != first["uniqueid"] else None

        first = within(NEGOTIATION_SECONDS, second)
    return bool(first) and ("dh-group" in first) == spec.phase_two.pfs


@contextmanager
def vici_session(laboratory: Laboratory) -> Iterator[vici.Session]:
    """Open a plain vici session: the portal's own session does not return algorithms."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(laboratory.concentrator.socket))
        yield vici.Session(connection)


@pytest.mark.parametrize("version", [1, 2])
def test_every_algorithm_of_the_original_panel_comes_up(laboratory, version):
    failed = []
    with CharonSession(str(laboratory.concentrator.socket)) as charon:
        for pair in PAIRS:
            configure_device(laboratory, version, *pair)
            if not comes_up(laboratory, charon, specification(version, *pair)):
                failed.append(pair)

    assert {phase_one for phase_one, _ in PAIRS} == set(PHASE_ONE)
    assert failed == []


@pytest.mark.parametrize(
    ("version", "pairs"),
    [(1, NEWER + NEWER_OF_IKEV1), (2, NEWER + NEWER_OF_IKEV2)],
    ids=["IKEv1", "IKEv2"],
)
def test_every_newer_algorithm_comes_up(laboratory, version, pairs):
    failed = []
    with CharonSession(str(laboratory.concentrator.socket)) as charon:
        for pair in pairs:
            configure_device(laboratory, version, *pair)
            spec = specification(version, *pair)
            if spec.problems() or not comes_up(laboratory, charon, spec):
                failed.append(pair)

    assert failed == []


def test_these_tests_cover_every_algorithm_of_the_table():
    assert set(ENCRYPTIONS) | set(NEWER_ENCRYPTIONS) == set(algorithms.ENCRYPTIONS)
    assert set(AUTHENTICATIONS) | set(NEWER_AUTHENTICATIONS) == set(algorithms.AUTHENTICATIONS)
    assert {0, *GROUPS, *NEWER_GROUPS} == set(algorithms.GROUPS)


def test_the_portal_refuses_algorithms_that_ikev1_does_not_have():
    fields = [
        [problem.field for problem in specification(1, *pair).problems()]
        for pair in (
            (("AES256-GCM", "SHA256", 14), (14, "SHA256", "AES256")),
            (("AES256", "SHA256", 14), (14, "SHA256", "ChaCha20-Poly1305")),
        )
    ]

    assert fields == [["phase_one_encryption"], ["phase_two_encryption"]]
