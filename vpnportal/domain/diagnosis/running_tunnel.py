"""Findings about a tunnel that is up: from anomalies of its SAs, and duplicates in charon's log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta

from vpnportal.domain.diagnosis.evidence import Evidence
from vpnportal.domain.diagnosis.findings import Cause, Finding
from vpnportal.domain.diagnosis.local_settings import selectors_text, subnets_text
from vpnportal.domain.diagnosis.log_lines import LogLine
from vpnportal.domain.tunnel.spec import TunnelSpec

# A few edits cause fewer downs in five minutes.
FLAPPING_DOWNS = 4
_DUPLICATE = re.compile(r"(?:schedule delete of|deleting|destroying) duplicate IKE_SA for .*")
_DUPLICATE_TIME = timedelta(minutes=5)


def running_findings(spec: TunnelSpec, evidence: Evidence) -> Iterator[Finding]:
    """Yield the findings about the running SAs."""
    if evidence.narrowed:
        yield _narrowed(spec, *evidence.narrowed)
    if evidence.one_way_seconds:
        yield _one_way(spec, evidence.one_way_seconds)
    if evidence.downs >= FLAPPING_DOWNS:
        yield _flapping(evidence.downs)
    lines = _duplicate_lines(evidence.lines)
    if evidence.duplicates > 1 or len(lines) > 1:
        yield _duplicates(lines)


def _narrowed(spec: TunnelSpec, local: tuple[str, ...], remote: tuple[str, ...]) -> Finding:
    theirs, ours = selectors_text(", ".join(local), ", ".join(remote)), subnets_text(spec)
    hosted = {str(network) for network in spec.hosted_subnets}
    return Finding(
        Cause.NARROWED,
        "remote_subnets" if set(local) >= hosted else "hosted_subnets",
        "The peer narrowed the traffic selectors: some addresses are not reachable",
        f"Configure {ours} on the peer, or enter the negotiated subnets here: {theirs}.",
        theirs,
        ours,
        request="Your device narrows the traffic selectors. Please set"
        f" {', '.join(map(str, spec.hosted_subnets))} as remote and"
        f" {', '.join(map(str, spec.remote_subnets))} as local networks, with the same masks.",
    )


def _one_way(spec: TunnelSpec, seconds: int) -> Finding:
    return Finding(
        Cause.ONE_WAY,
        "",
        f"One-way traffic: packets are sent, but none was received for {seconds} seconds",
        "Check on the peer that ESP (or UDP 4500) to this concentrator is allowed. Check its rules"
        " and routes for the protected networks, and the hosts. If no answer is expected, ignore"
        " this warning.",
        request="Your device receives packets through the tunnel, but sends none. Please check that"
        f" ESP and UDP 4500 to {spec.hosted_peer} are allowed, and the rules and routes for the"
        " protected networks.",
    )


def _flapping(downs: int) -> Finding:
    return Finding(
        Cause.FLAPPING,
        "",
        f"Flapping: the tunnel went down {downs} times in the last five minutes",
        "Check the log of the peer for an idle timeout, a DPD interval that is too short, an"
        " unstable line, or a second device with its address.",
        request="The tunnel goes up and down repeatedly. Please check the log of your device for"
        " the reason (idle timeout, DPD, unstable line).",
    )


def _duplicates(lines: tuple[str, ...]) -> Finding:
    return Finding(
        Cause.DUPLICATES,
        "",
        "Duplicate SAs: the peer establishes the tunnel more than once",
        "On the peer, keep only one connection (or one device of a cluster) for these networks. It"
        " must delete the old SA when it initiates a new one.",
        lines=lines,
        request="Your device establishes the same tunnel several times. Please keep only one"
        " connection for these networks.",
    )


def _duplicate_lines(lines: Iterable[LogLine]) -> tuple[str, ...]:
    """Return charon's lines about deleted duplicates, within `_DUPLICATE_TIME` of the last one."""
    duplicates = [line for line in lines if _DUPLICATE.fullmatch(line.text)]
    return tuple(line.text for line in duplicates if duplicates[-1].at - line.at <= _DUPLICATE_TIME)
