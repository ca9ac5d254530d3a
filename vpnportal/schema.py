"""The schema of a database compared with the migrations of this code."""

from __future__ import annotations

from django.apps import apps
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

Migrations = set[tuple[str, str]]


def pending_migrations(alias: str) -> list[str]:
    """Return the migrations that a database lacks, such as vpnportal.0019_ended_claims."""
    executor = MigrationExecutor(connections[alias])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def unknown_migrations(alias: str) -> list[str]:
    """Return the applied migrations that this code does not have: the database is newer."""
    executor = MigrationExecutor(connections[alias])
    known = executor.loader.disk_migrations.keys()
    return sorted(f"{app}.{name}" for app, name in applied_migrations(alias) - known)


def applied_migrations(alias: str) -> Migrations:
    """Return the applied migrations of the installed apps."""
    labels = {config.label for config in apps.get_app_configs()}
    applied = MigrationRecorder(connections[alias]).applied_migrations()
    return {(app, name) for app, name in applied if app in labels}
