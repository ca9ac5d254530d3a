"""The rights of a gateway in PostgreSQL: the columns and the rows of each table that it may use.

RIGHTS is the whole list: a table and a column that are not in it are closed to gateways, new ones
too. A gateway has a role of its own, `gw_` and the name of its concentrator. The rows are those of
its concentrator and of the tunnels there. A tunnel that moves belongs to both concentrators until
the old one has released it. Worker and monitor of the previous version must work with these rights
as well (docs/decisions/044-rights-of-a-gateway.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from vpnportal.models import Revision

# The concentrator of the role, or null. All functions are in `gateway_functions.py`.
OWN = "concentrator_id = (SELECT vpnportal_gateway())"
# For few rows. It takes less time to plan than a subquery, and a converge plans each statement.
TUNNEL = "vpnportal_gateway_has(tunnel_id)"
REVISION = "EXISTS (SELECT FROM vpnportal_revision own WHERE own.id = revision_id{})"
FREED = "id IN (SELECT vpnportal_gateway_freed_subnets())"
# The concentrator that still releases the tunnel; a trial may restore it there.
RELEASED_THERE = """(tunnel_id, concentrator_id) IN
    (SELECT tunnel_id, concentrator_id FROM vpnportal_gateway_releases_elsewhere())"""
RESTORED = "author_id IS NULL AND outcome = 'queued' AND restored_number IS NOT NULL"
NOTHING = "false"
HOLDING = ", ".join(f"'{outcome.value}'" for outcome in Revision.HOLDING)


@dataclass(frozen=True, slots=True)
class Rights:
    """The rights in one table: columns, and for each command the condition of its rows.

    `rows` is the condition of SELECT. UPDATE has the same one without `update_rows`, and INSERT
    without `insert_rows`. `updated` is the condition of a row after an UPDATE. A gateway deletes
    the rows of `delete_rows`, and none without it. `lock` permits SELECT FOR UPDATE of rows that a
    gateway may not change: PostgreSQL asks for the right to update a column, and `updated` then
    refuses each UPDATE.
    """

    table: str
    rows: str
    select: tuple[str, ...]
    insert: tuple[str, ...] = ()
    update: tuple[str, ...] = ()
    insert_rows: str = ""
    update_rows: str = ""
    updated: str = ""
    delete_rows: str = ""
    lock: bool = False


def _columns(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_REVISION = _columns("""
    id tunnel_id concentrator_id number specification digest hosted_peer remote_peer mark author_id
    created_at finished_at outcome steps reason trial_seconds trial_ping trial_ends_at
    responder_only first_up_at restored_number first_rekey""")
_HELD = _columns("""
    concentrator_id tunnel_id kind number specification mark account_id name hosted_peer static_nat
    remote found_at ended_at""")
_LOG = _columns("tunnel_id lines anomalies changed_at")
_TRAFFIC = _columns("tunnel_id concentrator_id taken_at lines pairs minutes")

RIGHTS = (
    Rights(
        "concentrator",
        # Of another one only while it releases a tunnel of this one: its worker is then asked.
        rows="id = (SELECT vpnportal_gateway()) OR id IN"
        " (SELECT concentrator_id FROM vpnportal_gateway_releases_elsewhere())",
        select=_columns("""
            id name datacenter_id public_address userland_esp seen_at unreachable_reason algorithms
            charon_version foreign_connections drop_counters dropped_by_esp used_since used_read_at
            observed_minutes epoch compared_epoch restored_from release converged_at
            envelope_key certificate_until"""),
        update=_columns("""
            userland_esp seen_at unreachable_reason algorithms charon_version foreign_connections
            drop_counters dropped_by_esp used_since used_read_at observed_minutes epoch
            compared_epoch release converged_at"""),
        update_rows="id = (SELECT vpnportal_gateway())",
    ),
    Rights(
        "addresspool",
        rows=f"{OWN} OR id IN (SELECT vpnportal_gateway_pools_of_deleted())",
        select=_columns("id concentrator_id kind network"),
    ),
    Rights(
        "tunnel",
        rows=f"{OWN} OR id IN (SELECT vpnportal_gateway_guests())",
        # `Tunnel.PORTAL_COLUMNS` are missing: the key of the draft is one of them.
        select=_columns("""
            id name account_id concentrator_id hosted_peer remote_peer ike_version
            phase_one_encryption phase_one_authentication phase_one_group phase_one_keylife
            phase_two_encryption phase_two_authentication phase_two_pfs phase_two_group
            phase_two_keylife one_child_per_pair dpd_seconds starts translated_only mark
            claims_until sa_status sa_status_at disconnected_at ordered_at cancelled_at"""),
        update=_columns("sa_status sa_status_at claims_until"),
    ),
    Rights(
        "addresstranslation",
        rows=TUNNEL,
        select=_columns("id tunnel_id internal_address customer_address name"),
    ),
    Rights(
        "tunnel_subnets",
        rows="EXISTS (SELECT FROM vpnportal_tunnel mine WHERE mine.id = tunnel_id)",
        select=_columns("id tunnel_id subnet_id"),
        delete_rows="EXISTS (SELECT FROM vpnportal_tunnel mine"
        " WHERE mine.id = tunnel_id AND mine.cancelled_at IS NOT NULL)",
    ),
    Rights(
        "subnet",
        rows="EXISTS (SELECT FROM vpnportal_tunnel_subnets used"
        f" WHERE used.subnet_id = vpnportal_subnet.id) OR {FREED}",
        select=_columns("id account_id datacenter_id name kind network first last"),
        delete_rows=FREED,
        lock=True,
    ),
    Rights(
        "account",
        rows="EXISTS (SELECT FROM vpnportal_tunnel mine"
        " WHERE mine.account_id = vpnportal_account.id)",
        select=("id",),
        lock=True,
    ),
    Rights(
        "revision",
        rows=f"{OWN} OR {TUNNEL}",
        select=_REVISION,
        # A trial that failed restores the revision before it, where that was.
        insert=_REVISION[1:],
        insert_rows=f"{TUNNEL} AND {RESTORED} AND ({OWN} OR {RELEASED_THERE})",
        update=_columns("finished_at outcome steps reason trial_ends_at first_up_at first_rekey"),
    ),
    Rights(
        "remoteclaim",
        rows=REVISION.format(""),
        select=_columns("id revision_id first last is_peer"),
        insert=_columns("revision_id first last is_peer"),
        delete_rows=REVISION.format(f" AND own.outcome NOT IN ({HOLDING})"),
    ),
    Rights(
        "addressrelease",
        rows=f"{OWN} OR {TUNNEL}",
        select=_columns("""
            id tunnel_id concentrator_id hosted_peer author_id requested_at released_at steps"""),
        update=_columns("released_at steps"),
        update_rows=OWN,
    ),
    Rights(
        "tunnelmark",
        rows=OWN,
        select=_columns("id concentrator_id number tunnel_id released_at"),
        # After a restore, the marks of tunnels that the backup does not have.
        insert=_columns("concentrator_id number tunnel_id released_at"),
        insert_rows=f"{OWN} AND tunnel_id IS NULL AND released_at IS NOT NULL",
        update=("released_at",),
        delete_rows=f"{OWN} AND released_at IS NOT NULL",
    ),
    Rights(
        "heldtunnel",
        rows=OWN,
        select=("id", *_HELD),
        insert=_HELD,
        delete_rows=OWN,
    ),
    Rights(
        "tunnelcommand",
        rows=TUNNEL,
        select=_columns("id tunnel_id kind author_id requested_at done_at ok text steps"),
        update=_columns("done_at ok text steps"),
    ),
    Rights(
        "keyrotation",
        rows=TUNNEL,
        select=_columns("id tunnel_id signs_with loaded loaded_at used used_at"),
        update=_columns("signs_with loaded loaded_at used used_at"),
    ),
    Rights(
        "peerprobe",
        rows=TUNNEL,
        select=_columns("""
            id tunnel_id author_id created_at finished_at state specification answer steps
            reason"""),
        update=_columns("finished_at state specification answer steps reason"),
    ),
    Rights(
        "driftrepair",
        rows=OWN,
        # Django reads the id of a new row.
        select=("id",),
        insert=_columns("concentrator_id tunnel_id at text"),
        insert_rows=f"{OWN} AND (tunnel_id IS NULL OR {TUNNEL})",
    ),
    Rights(
        "diagnosticlog",
        rows=TUNNEL,
        select=("id", *_LOG),
        insert=_LOG,
        update=_columns("lines anomalies changed_at"),
    ),
    Rights(
        "translationusage",
        rows=TUNNEL,
        select=_columns("id tunnel_id pairs"),
        insert=_columns("tunnel_id pairs"),
        update=("pairs",),
    ),
    Rights(
        "traffic",
        rows=TUNNEL,
        select=("id", *_TRAFFIC),
        insert=_TRAFFIC,
        insert_rows=f"{TUNNEL} AND {OWN}",
        update=_TRAFFIC[1:],
        updated=f"{TUNNEL} AND {OWN}",
    ),
    Rights(
        "event",
        # Inserted only: a gateway reads no event.
        rows=NOTHING,
        select=(),
        insert=_columns("""
            at action result actor_kind actor_id actor_name api_key_name account_id account_name
            tunnel_id tunnel_name concentrator_id concentrator_name subject reason before after
            count request_id client_address"""),
        # In the name of a process, of its own tunnels and their accounts.
        insert_rows=f"""actor_kind = 'system' AND actor_id IS NULL AND {OWN}
            AND (tunnel_id IS NULL OR {TUNNEL}) AND (account_id IS NULL OR EXISTS (
                SELECT FROM vpnportal_tunnel mine WHERE mine.id = tunnel_id
                AND mine.account_id = vpnportal_event.account_id))""",
    ),
)

# Columns that only the worker of the version before reads, by table. The next version closes them.
# Its probe of a peer reads the draft, whose key this version puts into the row of the probe.
EARLIER_COLUMNS = {"tunnel": ("preshared_key",)}

# The models of the portal of which a gateway may use nothing, each with the reason.
CLOSED = {
    "Datacenter": "only pages and orders name locations",
    "Membership": "who may change a tunnel is decided by the portal",
    "Invitation": "a digest of a link by which a user becomes a member",
    "MemberChange": "names of users, for the owners of an account",
    "Profile": "preferences of a user",
    "UserIdentity": "names of users, and failed sign-ins",
    "AttemptCounter": "only the portal has pages to sign in",
    "LimitEntry": "limits of the pages of users",
    "ApiKey": "digests of keys that may change tunnels",
    "NetworkGrant": "the portal asks for a grant before an apply",
    "RefusedApply": "the portal counts refusals before an apply",
    "LastEdit": "edits are compared by the portal",
    "DraftBackup": "a draft with its key, for Undo on the page",
    "KeyReveal": "who saw a preshared key",
    "TunnelSummary": "triggers write it with the owner's rights, and only the list reads it",
    "TranslationImport": "the portal imports into drafts",
    "EventSeal": "only the portal seals events",
    "EventAnchor": "only the portal removes old events",
    "OutgoingMail": "the portal sends mails, and a link in one may give access",
}
