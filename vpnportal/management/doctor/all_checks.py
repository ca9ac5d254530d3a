"""The list of all checks of `manage.py doctor`, in their order."""

from __future__ import annotations

from collections.abc import Collection

from vpnportal.management.doctor import (
    broker,
    certificates,
    concentrators,
    configuration,
    database,
    envelopes,
    events,
    gateway,
    machine,
    mail,
    own_certificate,
    stored_tunnels,
    users,
    web_server,
)
from vpnportal.management.doctor.checks import EACH, GATEWAY, PORTAL, Check, Machine

SCHEMA = ("database", "schema")
# Ten thousand tunnels take about five seconds each to read, to open, and to compile.
MANY_TUNNELS_SECONDS = 120
# Each requirement may wait for charon, or for a command of 20 s.
REQUIREMENTS_SECONDS = 60
# Four connections of three seconds each.
CERTIFICATE_SECONDS = 30
# The time limit of Django's connection counts for each answer of the server.
MAIL_SECONDS = 45

CHECKS = (
    Check("settings", PORTAL, (configuration.portal_settings,)),
    Check("keys", PORTAL, (configuration.portal_keys,)),
    Check("keys", GATEWAY, (configuration.gateway_keys,)),
    Check("database", EACH, (database.database,)),
    Check("database_settings", PORTAL, (database.database_settings,), ("database",)),
    Check("schema", PORTAL, (database.portal_schema,), ("database",)),
    Check("schema", GATEWAY, (database.gateway_schema,), ("database",)),
    Check("seals", PORTAL, (database.seals,), SCHEMA, MANY_TUNNELS_SECONDS),
    Check("envelopes", PORTAL, (envelopes.of_portal,), SCHEMA, MANY_TUNNELS_SECONDS),
    Check(
        "envelopes",
        GATEWAY,
        (envelopes.of_gateway,),
        ("keys", *SCHEMA, "concentrator"),
        MANY_TUNNELS_SECONDS,
        of_concentrator=True,
    ),
    Check("summaries", PORTAL, (database.summaries,), SCHEMA, MANY_TUNNELS_SECONDS),
    Check("events", PORTAL, (events.events,), SCHEMA),
    Check("connections", PORTAL, (database.connections,), SCHEMA),
    Check("broker", EACH, (broker.broker,)),
    Check("broker_rights", PORTAL, (broker.portal_rights,), ("broker",)),
    Check("broker_rights", GATEWAY, (broker.gateway_rights,), ("broker",), of_concentrator=True),
    Check(
        "certificates",
        EACH,
        (
            certificates.broker_certificate,
            certificates.database_certificate,
            own_certificate.own_certificate,
        ),
        seconds=CERTIFICATE_SECONDS,
    ),
    Check("web", PORTAL, (web_server.web_server,), seconds=CERTIFICATE_SECONDS),
    Check("users", PORTAL, (users.names, users.second_factors), SCHEMA),
    Check("queues", PORTAL, (broker.queues,), (*SCHEMA, "broker")),
    Check("reports", PORTAL, (concentrators.reports,), SCHEMA),
    Check("gateway_certificates", PORTAL, (concentrators.certificates,), SCHEMA),
    Check("pools", PORTAL, (concentrators.pools,), SCHEMA, MANY_TUNNELS_SECONDS),
    Check("converges", PORTAL, (concentrators.converges,), SCHEMA),
    Check("revisions", PORTAL, (concentrators.revisions,), SCHEMA),
    Check("releases", PORTAL, (concentrators.releases,), SCHEMA),
    Check("clock", EACH, (machine.database_clock, machine.broker_clock)),
    Check("disk", PORTAL, (machine.portal_disks,)),
    Check("disk", GATEWAY, (machine.gateway_disks,)),
    Check("mail", PORTAL, (mail.mail_server,), seconds=MAIL_SECONDS),
    Check("backup", PORTAL, (machine.backup,)),
    Check("units", PORTAL, (machine.portal_units,)),
    Check("units", GATEWAY, (machine.gateway_units,), of_concentrator=True),
    Check("concentrator", GATEWAY, (gateway.concentrator,), SCHEMA),
    Check("requirements", GATEWAY, (gateway.requirements,), seconds=REQUIREMENTS_SECONDS),
    Check("charon_version", GATEWAY, (gateway.charon_version,), seconds=REQUIREMENTS_SECONDS),
    Check(
        "applied_state",
        GATEWAY,
        (gateway.applied_state,),
        (*SCHEMA, "concentrator"),
        MANY_TUNNELS_SECONDS,
    ),
    Check(
        "stored_tunnels",
        GATEWAY,
        (stored_tunnels.stored_tunnels,),
        seconds=MANY_TUNNELS_SECONDS,
        of_concentrator=True,
    ),
)


def checks_of(machines: Collection[Machine]) -> list[Check]:
    """Return the checks of a machine. If it has both roles, that of the portal comes first."""
    checks: dict[str, Check] = {}
    for check in CHECKS:
        if check.machines.intersection(machines):
            checks.setdefault(check.name, check)
    return list(checks.values())
