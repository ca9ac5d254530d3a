"""Migrations after which the release before still works with the database (decision 051)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models.fields import NOT_PROVIDED

# Of the release to which `way_back` in release.toml leads.
NEWEST_OF_WAY_BACK = "0019_ended_claims"
# Why a migration that breaks the rule is right, such as: no code of the release before uses it.
REASONS: dict[str, str] = {"0028_identity": "it fills a table that is new"}


# They touch nothing that the release before uses.
HARMLESS = (migrations.CreateModel, migrations.AddIndex, migrations.AlterModelOptions)


def breaks(migration: migrations.Migration, state: ProjectState) -> Iterator[str]:
    """Yield each operation that the release before may not work with; `state` is before it."""
    new_models = set[str]()
    for operation in migration.operations:
        if isinstance(operation, migrations.CreateModel):
            new_models.add(operation.name_lower)
        model = getattr(operation, "model_name", "").lower()
        if model not in new_models and not is_harmless(operation, state):
            yield operation.describe()
        operation.state_forwards("vpnportal", state)


def is_harmless(operation: Operation, state: ProjectState) -> bool:
    """Return True if code that does not know the operation reads and writes rows as before."""
    match operation:
        case migrations.AddField(field=field):
            return field.null or field.db_default is not NOT_PROVIDED
        case migrations.AlterField():
            return not is_altered(operation, state)
        case _:
            return isinstance(operation, HARMLESS)


def is_altered(operation: migrations.AlterField, state: ProjectState) -> bool:
    """Return True if the database sees the change: choices and names of pages are code alone."""
    before = state.models["vpnportal", operation.model_name_lower].fields[operation.name]

    def seen(field: models.Field) -> dict:
        path, _, _, values = field.deconstruct()[0:4]
        hidden = ("choices", "verbose_name", "help_text", "validators", "editable", "blank")
        return {"path": path} | {key: values[key] for key in values if key not in hidden}

    return seen(before) != seen(operation.field)


def test_the_release_before_works_with_the_database_after_each_new_migration():
    loader = MigrationLoader(None)
    before = ("vpnportal", NEWEST_OF_WAY_BACK)
    newest = loader.graph.leaf_nodes("vpnportal")
    later = [
        key
        for key in loader.graph._generate_plan(newest, at_end=True)
        if key[0] == "vpnportal" and key > before
    ]

    broken = [
        text
        for key in later
        if key[1] not in REASONS
        for text in breaks(
            loader.graph.nodes[key], loader.graph.make_state(nodes=key, at_end=False)
        )
    ]

    assert len(later) > 5
    assert broken == []


FIELD = models.TextField(default="")


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("tunnel", "later", FIELD),
        migrations.RemoveField("tunnel", "name"),
        migrations.RenameField("tunnel", "name", "title"),
        migrations.AlterField("tunnel", "name", models.CharField(max_length=3)),
        migrations.DeleteModel("PeerProbe"),
        migrations.RunPython(migrations.RunPython.noop),
        migrations.AddConstraint(
            "tunnel", models.UniqueConstraint(fields=["name"], name="later_names")
        ),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_an_operation_that_the_release_before_cannot_know_is_found(operation):
    loader = MigrationLoader(None)
    state = loader.project_state()
    migration = migrations.Migration("9999_later", "vpnportal")
    migration.operations = [operation]

    assert list(breaks(migration, state))
