"""The query that computes `TunnelSummary` from tunnels, revisions and releases, in SQL.

The state label exists a second time in `services.tunnel_state`, for the rows of one page. A test
compares the two in every state.
"""

from __future__ import annotations

from collections.abc import Mapping

from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.services.state_labels import STATE_RANKS, Outcome, StateLabel

TABLE = "vpnportal_tunnelsummary"
COLUMNS = (
    "tunnel_id",
    "account_id",
    "concentrator_id",
    "reported_by_id",
    "rank",
    "is_changed",
    "applied_at",
    "name_key",
    "friendly_key",
    "hosted_number",
    "remote_number",
    "names",
    "peers",
)
# The columns that `query` reads, by table.
WATCHED: Mapping[str, tuple[str, ...]] = {
    "vpnportal_tunnel": (
        *("account_id", "concentrator_id", "name", "friendly_name", "notes"),
        *("hosted_peer", "remote_peer", "draft_digest"),
        *("sa_status", "disconnected_at", "cancelled_at"),
    ),
    "vpnportal_revision": (
        *("number", "outcome", "concentrator_id", "digest", "responder_only", "finished_at"),
    ),
    "vpnportal_addressrelease": ("released_at",),
}
# A byte of an address in SQLite, times its weight.
BYTE = "json_extract('[' || replace({{}}, '.', ',') || ']', '$[{}]') * {}"
# Expressions that differ: a sort key of the name, the number and the text of an address.
DIALECTS: Mapping[str, Mapping[str, str]] = {
    "postgresql": {
        "length": "lpad(length(name)::text, 2, '0')",
        "number": "({} - '0.0.0.0'::inet)",
        "text": "host({})",
        "newline": "chr(10)",
        "differs": "IS DISTINCT FROM",
    },
    "sqlite": {
        "length": "printf('%02d', length(name))",
        "number": "("
        + " + ".join(BYTE.format(place, 256 ** (3 - place)) for place in range(4))
        + ")",
        "text": "{}",
        "newline": "char(10)",
        "differs": "IS NOT",
    },
}


def query(vendor: str, condition: str) -> str:
    """Return the query of the summaries of the tunnels with a condition on `tunnel`."""
    rank = {label: STATE_RANKS[label] for label in StateLabel}
    dialect = DIALECTS[vendor]
    revision = "FROM vpnportal_revision r WHERE r.tunnel_id = tunnel.id"
    live = f"{revision} AND r.outcome = '{Outcome.LIVE}' ORDER BY r.number DESC LIMIT 1"
    standing = ", ".join(f"'{outcome}'" for outcome in (*_unfinished(), Outcome.LIVE))
    decisive = (*_unfinished(), Outcome.FAILED, Outcome.WITHDRAWN)
    outcomes = " ".join(f"WHEN newest = '{o}' THEN {rank[StateLabel(o.label)]}" for o in decisive)
    statuses = " ".join(
        f"WHEN sa_status = '{status.value}' THEN {rank[StateLabel(status.label)]}"
        for status in SaStatus
    )
    newline = f" || {dialect['newline']} || "
    remote, hosted = (dialect["text"].format(f"{end}_peer") for end in ("remote", "hosted"))
    return f"""
        SELECT tunnel_id, account_id, concentrator_id, COALESCE(live_at, concentrator_id),
            CASE
                WHEN cancelled_at IS NOT NULL AND is_releasing
                    THEN {rank[StateLabel.BEING_DELETED]}
                WHEN cancelled_at IS NOT NULL THEN {rank[StateLabel.DELETED]}
                WHEN newest IS NULL THEN {rank[StateLabel.NEVER_APPLIED]}
                {outcomes}
                WHEN disconnected_at IS NOT NULL AND sa_status = ''
                    THEN {rank[StateLabel.DISCONNECTED]}
                WHEN disconnected_at IS NOT NULL THEN {rank[StateLabel.DISCONNECTING]}
                WHEN sa_status = '{SaStatus.DOWN.value}' AND is_responder
                    THEN {rank[StateLabel.WAITING_FOR_PEER]}
                {statuses}
                ELSE {rank[StateLabel.DOWN]}
            END,
            cancelled_at IS NULL
                AND (draft_digest = '' OR draft_digest <> COALESCE(applied_digest, '')),
            applied_at,
            {dialect["length"]} || lower(name),
            NULLIF(lower(friendly_name), ''),
            {dialect["number"].format(*["hosted_peer"] * 4)},
            {dialect["number"].format(*["remote_peer"] * 4)},
            upper(name{newline}friendly_name{newline}notes),
            ' ' || {hosted} || ' ' || COALESCE({remote} || ' ', '')
        FROM (
            SELECT tunnel.id AS tunnel_id, tunnel.account_id, tunnel.concentrator_id,
                tunnel.name, tunnel.friendly_name, tunnel.notes, tunnel.hosted_peer,
                tunnel.remote_peer, tunnel.draft_digest, tunnel.sa_status,
                tunnel.disconnected_at, tunnel.cancelled_at,
                (SELECT r.outcome {revision} ORDER BY r.number DESC LIMIT 1) AS newest,
                (SELECT r.concentrator_id {live}) AS live_at,
                (SELECT r.responder_only {live}) AS is_responder,
                (SELECT r.finished_at {live}) AS applied_at,
                (SELECT r.digest {revision} AND r.outcome IN ({standing})
                    ORDER BY r.number DESC LIMIT 1) AS applied_digest,
                EXISTS (SELECT 1 FROM vpnportal_addressrelease a
                    WHERE a.tunnel_id = tunnel.id AND a.released_at IS NULL) AS is_releasing
            FROM vpnportal_tunnel tunnel WHERE {condition}
        ) AS state WHERE true"""


def _unfinished() -> tuple[Outcome, ...]:
    return (Outcome.QUEUED, Outcome.APPLYING)


def upsert(vendor: str, condition: str) -> str:
    """Return the statement that writes these summaries, and no row that is right already."""
    columns = COLUMNS[1:]
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns)
    kept, new = (", ".join(f"{row}.{column}" for column in columns) for row in (TABLE, "excluded"))
    return (
        f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) {query(vendor, condition)}"
        f" ON CONFLICT (tunnel_id) DO UPDATE SET {changes}"
        f" WHERE ({kept}) {DIALECTS[vendor]['differs']} ({new})"
    )
