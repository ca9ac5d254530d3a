"""A portal's database in a file of its own, with any number of live tunnels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from itertools import count
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction

from lab.peers import Peer
from vpnportal.domain.tunnel.serialization import spec_digest
from vpnportal.domain.tunnel.spec import PhaseOne, PhaseTwo, Translation, TunnelSpec
from vpnportal.encryption import fingerprint_key, gateway_public_keys
from vpnportal.enrolment.key_files import new_gateway_key
from vpnportal.fields import Sealed
from vpnportal.models import (
    Account,
    Concentrator,
    Datacenter,
    RemoteClaim,
    Revision,
    Tunnel,
    TunnelMark,
)

# Tunnel n has the n-th /21 from here on, and its translations are the first addresses in it.
STATIC_NAT = IPv4Address("11.0.0.0")
STATIC_NAT_BITS = 21
# Revisions of different databases need different ids: the worker's cache has ids as keys, and one
# process uses all databases.
_FIRST_ID = count(1, 1_000_000)


def specification(peer: Peer, mappings: int = 0, ike_version: int = 1) -> TunnelSpec:
    """Return tunnel `peer.number + 1` as `ManyPeers` expects it, with up to 254 mappings."""
    first = STATIC_NAT + peer.number * 2 ** (32 - STATIC_NAT_BITS)
    return TunnelSpec(
        tunnel_id=peer.number + 1,
        hosted_peer=peer.hosted_peer,
        remote_peer=peer.remote_peer,
        preshared_key=peer.preshared_key,
        ike_version=ike_version,
        phase_one=PhaseOne("AES128", "SHA1", 1, 14_400),
        phase_two=PhaseTwo("AES128", "SHA1", True, 1, 3_600),
        hosted_subnets=(peer.hosted_network,),
        remote_subnets=(peer.remote_network,),
        static_nat_subnets=(IPv4Network((int(first), STATIC_NAT_BITS)),),
        translations=tuple(
            Translation(first + n, peer.remote_network[n], f"host {n}")
            for n in range(1, mappings + 1)
        ),
        translated_only=peer.shared_network is not None,
    )


# This process is its gateway, too, and opens its revisions.
CONCENTRATOR = "hou02-vpn01"


class Portal:
    """A database; `use` connects the portal's code to it."""

    def __init__(self, file: Path, vici_socket: Path) -> None:
        self.file, self._vici_socket = file, vici_socket

    def use(self) -> Portal:
        """Connect to this database until another is used; return self."""
        if connection.settings_dict["NAME"] != str(self.file):
            connection.close()
            connection.settings_dict["NAME"] = str(self.file)
        settings.VICI_SOCKET = str(self._vici_socket)
        settings.GATEWAY_STATE = self.file.parent / "gateway"
        settings.CONCENTRATOR = CONCENTRATOR
        return self

    def make(self) -> Portal:
        """Create the database with one concentrator and no tunnel; return self."""
        self.use()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        call_command("keys")
        call_command("migrate", verbosity=0)
        houston = Datacenter.objects.create(name="hou02", long_name="Houston 2")
        Concentrator.objects.create(
            name=CONCENTRATOR,
            datacenter=houston,
            public_address="192.0.2.1",
            envelope_key=_public_key(),
        )
        Account.objects.create(name="Example account")
        return self

    @property
    def concentrator(self) -> Concentrator:
        """The only concentrator."""
        return Concentrator.objects.get()

    @cached_property
    def concentrator_id(self) -> int:
        """The id of the only concentrator, which a message contains: read once, not measured."""
        return self.concentrator.pk

    def add(self, specs: Sequence[TunnelSpec]) -> None:
        """Create a tunnel with a live revision for each specification."""
        add_live(specs, self.concentrator, Account.objects.get(), next(_FIRST_ID))

    def apply(self, specs: Sequence[TunnelSpec]) -> list[Revision]:
        """Create a queued revision for each specification, as Apply does."""
        numbers = [Revision.objects.filter(tunnel_id=spec.tunnel_id).count() for spec in specs]
        revisions = [
            _revision(spec, self.concentrator, Revision.Outcome.QUEUED, number + 1)
            for spec, number in zip(specs, numbers, strict=True)
        ]
        with transaction.atomic():
            return _save(revisions, specs)


def changed(spec: TunnelSpec, round_number: int) -> TunnelSpec:
    """Return the tunnel with another key life of phase two and another first translation."""
    phase_two = replace(spec.phase_two, keylife=3_600 + round_number)
    internal = spec.static_nat_subnets[0][-2 - round_number % 500]
    moved = Translation(internal, spec.remote_subnets[0][200], "moved")
    return replace(spec, phase_two=phase_two, translations=(*spec.translations[1:], moved))


def add_live(
    specs: Sequence[TunnelSpec],
    concentrator: Concentrator,
    account: Account,
    first: int | None = None,
) -> None:
    """Create tunnels of an account, each with a live revision; `first` is the first revision id."""
    revisions = [_revision(spec, concentrator, Revision.Outcome.LIVE) for spec in specs]
    if first is not None:
        for pk, revision in enumerate(revisions, first):
            revision.pk = pk
    with transaction.atomic():
        Tunnel.objects.bulk_create(_tunnel(spec, concentrator, account) for spec in specs)
        TunnelMark.objects.bulk_create(
            TunnelMark(concentrator=concentrator, tunnel_id=spec.tunnel_id, number=spec.tunnel_id)
            for spec in specs
        )
        _save(revisions, specs)


def _public_key() -> str:
    """Return the key of the gateway, which is this process too: it opens with that key."""
    if not settings.GATEWAY_KEY_FILE.exists():
        settings.GATEWAY_KEY_FILE.write_text(new_gateway_key()[0] + "\n")
    return gateway_public_keys()[0]


def _tunnel(spec: TunnelSpec, concentrator: Concentrator, account: Account) -> Tunnel:
    return Tunnel(
        pk=spec.tunnel_id,
        account=account,
        concentrator=concentrator,
        name=f"ipsec{spec.tunnel_id:05}",
        hosted_peer=str(spec.hosted_peer),
        remote_peer=str(spec.remote_peer),
        preshared_key=Sealed.of(spec.preshared_key, f"tunnel {spec.tunnel_id} preshared key"),
        ike_version=spec.ike_version,
        **{f"phase_one_{name}": value for name, value in asdict(spec.phase_one).items()},
        **{f"phase_two_{name}": value for name, value in asdict(spec.phase_two).items()},
        translated_only=spec.translated_only,
        mark=spec.tunnel_id,
        draft_digest=spec_digest(spec, fingerprint_key()),
    )


def _revision(
    spec: TunnelSpec, concentrator: Concentrator, outcome: str, number: int = 1
) -> Revision:
    return Revision(
        tunnel_id=spec.tunnel_id,
        concentrator=concentrator,
        number=number,
        specification=Revision.sealed(spec, number, concentrator.reader),
        digest=spec_digest(spec, fingerprint_key()),
        hosted_peer=str(spec.hosted_peer),
        remote_peer=str(spec.remote_peer),
        mark=spec.tunnel_id,
        outcome=outcome,
    )


def _save(revisions: Sequence[Revision], specs: Iterable[TunnelSpec]) -> list[Revision]:
    saved = Revision.objects.bulk_create(revisions)
    RemoteClaim.objects.bulk_create(
        claim
        for revision, spec in zip(saved, specs, strict=True)
        for claim in RemoteClaim.all_of(revision, spec)
    )
    return saved
