"""The app of the portal. After each migrate, triggers and gateways' rights are of this version."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate


class PortalConfig(AppConfig):
    """The config of the portal."""

    name = "vpnportal"

    def ready(self) -> None:
        from vpnportal import session_times, sign_in_events

        session_times.connect()
        sign_in_events.connect()
        pre_migrate.connect(_drop_triggers, sender=self)
        post_migrate.connect(_complete_schema, sender=self)
        # Here, because it imports the model of users.
        from vpnportal import sign_in_log

        sign_in_log.connect()


def _drop_triggers(using: str, plan: list[Any], **_: Any) -> None:
    from vpnportal.deployment.summary_triggers import drop_triggers

    if plan:
        drop_triggers(connections[using])


def _complete_schema(using: str, **_: Any) -> None:
    from vpnportal.deployment import event_guard, rights_in_database, summary_triggers

    summary_triggers.install(connections[using])
    event_guard.install(connections[using])
    rights_in_database.apply_rights(connections[using])
