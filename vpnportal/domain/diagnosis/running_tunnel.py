"""What is wrong with a tunnel that is up: found by looking at it, not in what charon says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta

from vpnportal.domain.diagnosis.evidence import Evidence
from vpnportal.domain.diagnosis.findings import Cause, Finding
from vpnportal.domain.diagnosis.local_settings import subnets_of
from vpnportal.domain.diagnosis.log_lines import LogLine
from vpnportal.domain.tunnel.spec import TunnelSpec

# So many downs in five minutes are more than a few edits make.
FLAPPING = 4
_ENDED = re.compile(r"(?:schedule delete of|deleting|destroying) duplicate IKE_SA for .*")
_WITHIN = timedelta(minutes=5)


def running(spec: TunnelSpec, evidence: Evidence) -> Iterator[Finding]:
    """Findings of the tunnel as it runs."""
    if evidence.narrowed:
        yield _narrowed(spec, *evidence.narrowed)
    if evidence.one_way_seconds:
        yield _one_way(spec, evidence.one_way_seconds)
    if evidence.downs >= FLAPPING:
        yield _flapping(evidence.downs)
    ended = _ended(evidence.lines)
    if evidence.duplicates > 1 or len(ended) > 1:
        yield _duplicates(ended)


def _narrowed(spec: TunnelSpec, local: tuple[str, ...], remote: tuple[str, ...]) -> Finding:
    theirs = f"{', '.join(local)} at this end, {', '.join(remote)} at the other"
    wide = {str(network) for network in spec.hosted_subnets}
    at = "remote_subnets" if set(local) >= wide else "hosted_subnets"
    return Finding(
        Cause.NARROWED,
        at,
        "The tunnel is up for fewer addresses than it should: the other end protects less.",
        f"Set {subnets_of(spec)} at the other end, or enter here what it protects: {theirs}.",
        theirs,
        subnets_of(spec),
        request=f"Your device narrows the protected networks. Please set"
        f" {', '.join(map(str, spec.hosted_subnets))} as remote and"
        f" {', '.join(map(str, spec.remote_subnets))} as local networks, with the same masks.",
    )


def _one_way(spec: TunnelSpec, seconds: int) -> Finding:
    return Finding(
        Cause.ONE_WAY,
        "",
        f"The tunnel is up and packets go into it, but for {seconds} seconds none came back.",
        "At the other end: ESP (or UDP 4500) from its device to this gateway may be blocked, its"
        " device may lack a rule or a route for the protected networks, or the hosts do not"
        " answer. If nothing is expected to answer, all is well.",
        request=f"Packets from us go through the tunnel and nothing comes back. Please check that"
        f" ESP and UDP 4500 to {spec.hosted_peer} are allowed, and the rules and routes for the"
        " protected networks.",
    )


def _flapping(downs: int) -> Finding:
    return Finding(
        Cause.FLAPPING,
        "",
        f"The tunnel went down {downs} times in the last five minutes.",
        "Look at the other end's log for why it ends the tunnel: an idle timeout, a dead peer"
        " detection that is too strict, a line that fails, or a second device with its address.",
        request="The tunnel comes up and goes down again and again. Please see in your device's"
        " log why it ends it (idle timeout, dead peer detection, a line that fails).",
    )


def _duplicates(ended: tuple[str, ...]) -> Finding:
    return Finding(
        Cause.DUPLICATES,
        "",
        "The other end builds the tunnel more than once at a time.",
        "At the other end: let only one connection (or one device of a pair) have these networks,"
        " and let it end an old association when it begins a new one.",
        lines=ended,
        request="Your device builds the same tunnel several times. Please keep only one connection"
        " for these networks.",
    )


def _ended(lines: Iterable[LogLine]) -> tuple[str, ...]:
    """Where charon itself put an end to duplicates, if more than once lately."""
    told = [line for line in lines if _ENDED.fullmatch(line.text)]
    return tuple(line.text for line in told if told[-1].at - line.at <= _WITHIN)
