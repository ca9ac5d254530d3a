"""Apply Configurations: what still is wrong, or a frozen revision on its way."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib.auth.models import User

from vpnportal import tasks
from vpnportal.domain.spec import Problem, TunnelSpec
from vpnportal.models import RemoteClaim, Revision, Tunnel
from vpnportal.models.revisions import RevisionQuerySet
from vpnportal.services.refusal import Refused, unlocked


def apply(tunnel: Tunnel, author: User) -> Revision:
    """Freeze the draft and ask the concentrator's lane to look; Refused while it cannot stand.

    The revision is queued, not done: its outcome tells what became of it.
    """
    with unlocked(tunnel) as fresh:
        spec = fresh.draft()
        problems = (*spec.problems(), *_conflicts(fresh, spec, author))
        if problems:
            raise Refused(*problems)
        # Whatever nobody took up in time is not what its author wants any more.
        unfinished = fresh.revisions.filter(outcome__in=Revision.UNFINISHED)
        unfinished.update(outcome=Revision.Outcome.REPLACED)
        revision = Revision.frozen(fresh, spec, author)
        revision.save()
        RemoteClaim.objects.bulk_create(
            [RemoteClaim.of(revision, network) for network in spec.remote_subnets]
        )
        tasks.request_converge(fresh.concentrator, fresh.pk)
    return revision


def _conflicts(tunnel: Tunnel, spec: TunnelSpec, author: User) -> Iterator[Problem]:
    """What another tunnel of the same concentrator already holds and this one cannot share."""
    others = (
        Revision.objects.standing()
        .filter(concentrator_id=tunnel.concentrator_id)
        .exclude(tunnel=tunnel)
    )
    yield from _shared_ends(others, spec, author)
    yield from _shared_networks(others, spec, author)


def _shared_ends(others: RevisionQuerySet, spec: TunnelSpec, author: User) -> Iterator[Problem]:
    """charon looks preshared keys up by the pair of identities."""
    holder = others.filter(remote_peer=str(spec.remote_peer)).first()
    if holder is not None:
        text = (
            f"From {spec.hosted_peer} to {spec.remote_peer} there is {_named(holder, author)} "
            "already, and two tunnels cannot share both ends."
        )
        yield Problem("remote_peer", text)


def _shared_networks(others: RevisionQuerySet, spec: TunnelSpec, author: User) -> Iterator[Problem]:
    """The userland data plane picks the tunnel by the remote network alone."""
    for network in spec.remote_subnets:
        claim = (
            RemoteClaim.objects.filter(
                revision__in=others,
                first__lte=int(network.broadcast_address),
                last__gte=int(network.network_address),
            )
            .select_related("revision")
            .first()
        )
        if claim is not None:
            text = f"{network} overlaps a network of {_named(claim.revision, author)}."
            yield Problem("remote_subnets", text)


def _named(revision: Revision, reader: User) -> str:
    tunnel = Tunnel.objects.visible_to(reader).filter(pk=revision.tunnel_id).first()
    return f"the tunnel {tunnel.name}" if tunnel else "another tunnel of this concentrator"
