"""The functions that the policies of `gateway_rights` ask, in SQL.

They run with the rights of the tables' owner, and answer for the role that is connected
(`session_user`): a gateway learns nothing else by calling them. A policy that reads its
own table would not end, so these read it instead. There are few open releases, which an index has.
PL/pgSQL keeps the plans for the life of a connection.
"""

from __future__ import annotations

SCHEMA = "public"

FUNCTIONS = {
    # The concentrator of this role, whose name `broker_access.gateway_user` makes.
    "vpnportal_gateway()": (
        "bigint",
        """
        RETURN (
            SELECT id FROM vpnportal_concentrator
            WHERE name = substr(session_user::text, 4) AND starts_with(session_user::text, 'gw_')
        );
        """,
    ),
    # Tunnels that moved away or were deleted, until this concentrator has released them.
    "vpnportal_gateway_guests()": (
        "SETOF bigint",
        """
        RETURN QUERY SELECT release.tunnel_id FROM vpnportal_addressrelease release
            WHERE release.concentrator_id = vpnportal_gateway() AND release.released_at IS NULL;
        """,
    ),
    # True if this concentrator has a tunnel: of its draft, or not released.
    "vpnportal_gateway_has(tunnel bigint)": (
        "boolean",
        """
        RETURN EXISTS (
            SELECT FROM vpnportal_tunnel WHERE id = tunnel AND (
                concentrator_id = (SELECT vpnportal_gateway())
                OR id IN (SELECT vpnportal_gateway_guests())
            )
        );
        """,
    ),
    # Where the tunnels of this concentrator are still to be released.
    "vpnportal_gateway_releases_elsewhere()": (
        "TABLE (tunnel_id bigint, concentrator_id bigint)",
        """
        RETURN QUERY SELECT release.tunnel_id, release.concentrator_id
            FROM vpnportal_addressrelease release
            JOIN vpnportal_tunnel tunnel ON tunnel.id = release.tunnel_id
            WHERE release.released_at IS NULL AND tunnel.concentrator_id = vpnportal_gateway()
            AND release.concentrator_id <> tunnel.concentrator_id;
        """,
    ),
    # Subnets without a tunnel, of the accounts of deleted tunnels that this concentrator releases.
    "vpnportal_gateway_freed_subnets()": (
        "SETOF bigint",
        """
        RETURN QUERY SELECT subnet.id FROM vpnportal_subnet subnet
            WHERE subnet.kind IN ('customer', 'static-nat')
            AND subnet.account_id IN (
                SELECT tunnel.account_id FROM vpnportal_tunnel tunnel
                WHERE tunnel.id IN (SELECT vpnportal_gateway_guests())
                AND tunnel.cancelled_at IS NOT NULL
            )
            AND NOT EXISTS (
                SELECT FROM vpnportal_tunnel_subnets used WHERE used.subnet_id = subnet.id
            );
        """,
    ),
    # Pools that have a subnet of a deleted tunnel which this concentrator releases.
    "vpnportal_gateway_pools_of_deleted()": (
        "SETOF bigint",
        """
        RETURN QUERY SELECT pool.id FROM vpnportal_addresspool pool WHERE EXISTS (
            SELECT FROM vpnportal_tunnel tunnel
            JOIN vpnportal_tunnel_subnets used ON used.tunnel_id = tunnel.id
            JOIN vpnportal_subnet subnet ON subnet.id = used.subnet_id
            WHERE tunnel.id IN (SELECT vpnportal_gateway_guests())
            AND tunnel.cancelled_at IS NOT NULL AND subnet.kind = 'static-nat'
            AND subnet.network::cidr <<= pool.network::cidr
        );
        """,
    ),
}


def statements(group: str) -> list[str]:
    """Return the SQL that makes the functions, and lets only a group call them."""
    return [
        statement
        for name, (result, body) in FUNCTIONS.items()
        for statement in (
            f"CREATE OR REPLACE FUNCTION {SCHEMA}.{name} RETURNS {result}"
            " LANGUAGE plpgsql STABLE SECURITY DEFINER"
            f" SET search_path = pg_catalog, {SCHEMA}, pg_temp AS $function$"
            f"#variable_conflict use_column\nBEGIN{body}END $function$",
            f"REVOKE ALL ON FUNCTION {SCHEMA}.{name} FROM PUBLIC",
            f'GRANT EXECUTE ON FUNCTION {SCHEMA}.{name} TO "{group}"',
        )
    ]
