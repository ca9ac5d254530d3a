"""No lost update: any order of edits by two users, with applies, discards and restores between."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vpnportal import services
from vpnportal.domain.tunnel.spec import translation_field
from vpnportal.models import Revision, Subnet, Tunnel
from vpnportal.services import EditConflict, Refused, TunnelLocked, key_version_of, newest_edit

pytestmark = pytest.mark.sqlite

AT, NET = IPv4Address("10.1.255.92"), IPv4Network("192.168.30.0/24")
KEY, ROW, NETS = "preshared_key", translation_field(AT), "remote_subnets"
VALUES: dict[str, tuple[Any, ...]] = {
    "phase_one_encryption": ("3DES", "AES128", "AES256"),
    "phase_one_group": (2, 5, 14),
    "phase_two_pfs": (True, False),
    "remote_peer": ("203.0.113.2", "203.0.113.9"),
    KEY: ("a key", "another key"),
    ROW: (("192.168.10.15", "database"), ("192.168.10.16", "mail"), (None, "")),
}
PEOPLE = ("ada", "bob")
OPERATIONS = ("reload", "add", "remove", "apply", "discard", "revert", "restore", "undo")
STEPS = st.one_of(
    *(
        st.tuples(st.just("edit"), st.sampled_from(PEOPLE), st.just(name), st.sampled_from(values))
        for name, values in VALUES.items()
    ),
    st.tuples(
        st.sampled_from(OPERATIONS),
        st.sampled_from(PEOPLE),
        st.sampled_from((*VALUES, NETS)),
        st.none(),
    ),
)


def row(value: tuple[str | None, str]) -> services.TranslationRow:
    return services.TranslationRow(AT, IPv4Address(value[0]) if value[0] else None, value[1])


def draft_of(tunnel: Tunnel) -> dict[str, Any]:
    """Return the saved draft by field."""
    fresh = Tunnel.objects.get(pk=tunnel.pk)
    rows = [(str(row.customer), row.name) for row in fresh.draft().translations]
    return {
        **{name: getattr(fresh, name) for name in VALUES if name not in (KEY, ROW)},
        KEY: fresh.draft().preshared_key,
        ROW: rows[0] if rows else (None, ""),
        NETS: NET in fresh.networks(Subnet.Kind.CUSTOMER),
    }


class Story:
    """Two users of a draft, and a model of the draft that they should get.

    `last` has the last editor and the time of each field, `screens` the page that each user sees.
    """

    def __init__(self, tunnel: Tunnel, people: dict[str, User]) -> None:
        self.tunnel, self.people = tunnel, people
        self.draft = draft_of(tunnel)
        self.now = 0
        self.last: dict[str, tuple[str, int]] = {}
        self.applied: list[dict[str, Any]] = []
        self.backup: tuple[dict[str, Any], int] | None = None
        self.screens: dict[str, dict[str, Any]] = {}
        for person in PEOPLE:
            self.reload(person)

    def reload(self, person: str) -> None:
        versions = {"version": newest_edit(self.tunnel), "key": key_version_of(self.tunnel)}
        when = {"when": self.now, "key when": self.last.get(KEY, ("", 0))[1]}
        self.screens[person] = {**self.draft, **versions, **when}

    def edit(self, person: str, field: str, value: Any) -> None:
        screen, saved = self.screens[person], self.draft[field]
        same = screen[field] == saved
        if field == KEY:
            same = screen["key when"] == self.last.get(KEY, ("", 0))[1]
        if field == ROW and value == screen[ROW]:
            # A form sends unchanged rows of the table, too.
            self._write(person, field, value, screen)
            return
        refusal = self.refusal_of(lambda: self._write(person, field, value, screen))
        assert refusal == (EditConflict if value != saved and not same else None)
        if refusal:
            self.reload(person)
        elif value != saved:
            self._changed(person, {**self.draft, field: value})
            screen[field] = value
            screen["key"], screen["key when"] = key_version_of(self.tunnel), self._key_when()

    def add(self, person: str) -> None:
        refusal = self.refusal_of(
            lambda: services.add_remote_subnet(self.tunnel, NET, self.people[person])
        )
        assert refusal == (Refused if self.draft[NETS] else None)
        if not refusal:
            self._changed(person, {**self.draft, NETS: True})

    def remove(self, person: str) -> None:
        subnet_id = self.tunnel.subnets.filter(network=NET).values_list("pk", flat=True).first()
        services.remove_remote_subnet(self.tunnel, subnet_id or 0, self.people[person])
        if subnet_id:
            self._changed(person, {**self.draft, NETS: False})

    def apply(self, person: str) -> None:
        seen = self.screens[person]["version"]
        refusal = self.refusal_of(
            lambda: services.apply(self.tunnel, self.people[person], seen=seen)
        )
        assert refusal == (EditConflict if self._has_news(person) else None)
        if refusal:
            return
        assert (
            self.refusal_of(lambda: self._write(person, "phase_one_group", 15, None))
            is TunnelLocked
        )
        assert (
            self.refusal_of(lambda: services.discard(self.tunnel, self.people[person]))
            is TunnelLocked
        )
        Revision.objects.filter(tunnel=self.tunnel, outcome="live").update(outcome="replaced")
        Revision.objects.filter(tunnel=self.tunnel, outcome="queued").update(outcome="live")
        self.applied.append(dict(self.draft))

    def discard(self, person: str) -> None:
        self._replace(person, services.discard, self.applied[-1] if self.applied else None)

    def restore(self, person: str) -> None:
        first = Revision.objects.filter(tunnel=self.tunnel).order_by("number").first()
        if first:
            self._replace(
                person,
                lambda tunnel, author, seen: services.restore(tunnel, first, author, seen),
                self.applied[0],
            )

    def revert(self, person: str, field: str) -> None:
        target = {**self.draft, field: self.applied[-1][field]} if self.applied else None
        news = self.last.get(field, ("", 0))
        self._replace(
            person,
            lambda tunnel, author, seen: services.revert_field(tunnel, field, author, seen),
            target,
            news[0] not in ("", person) and news[1] > self.screens[person]["when"],
        )

    def undo(self, person: str) -> None:
        is_undoable = self.backup is not None and self.backup[1] == self.now
        refusal = self.refusal_of(lambda: services.undo(self.tunnel, self.people[person]))
        assert refusal == (None if is_undoable else Refused)
        if self.backup and is_undoable:
            self._changed(person, self.backup[0])
            self.backup = None

    def _replace(
        self,
        person: str,
        operation: Callable[[Tunnel, User, Any], object],
        target: dict[str, Any] | None,
        news: bool | None = None,
    ) -> None:
        before = self.draft
        seen = self.screens[person]["version"]
        refusal = self.refusal_of(lambda: operation(self.tunnel, self.people[person], seen))
        if news or (news is None and self._has_news(person)):
            assert refusal is EditConflict
        elif target is None:
            assert refusal is Refused
        else:
            assert refusal is None
            self._changed(person, target)
            if before != target:
                self.backup = (before, self.now)

    def refusal_of(self, operation: Callable[[], object]) -> type[Refused] | None:
        try:
            operation()
        except Refused as refused:
            return type(refused)
        return None

    def _write(self, person: str, field: str, value: Any, screen: dict[str, Any] | None) -> None:
        author = self.people[person]
        if field == KEY and screen:
            services.set_preshared_key(self.tunnel, value, author, screen["key"])
        elif field == ROW and screen:
            services.set_translations(self.tunnel, [row(value)], author, {AT: row(screen[ROW])})
        else:
            seen = screen[field] if screen else services.VERSION_UNKNOWN
            services.edit(self.tunnel, field, value, author, seen)

    def _changed(self, person: str, draft: dict[str, Any]) -> None:
        changed = [name for name in draft if draft[name] != self.draft[name]]
        if changed:
            self.now += 1
        self.last |= {name: (person, self.now) for name in changed}
        self.draft = draft

    def _has_news(self, person: str) -> bool:
        seen = self.screens[person]["when"]
        return any(editor != person and when > seen for editor, when in self.last.values())

    def _key_when(self) -> int:
        return self.last.get(KEY, ("", 0))[1]


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, min_size=1, max_size=16))
def test_no_order_of_operations_loses_an_update(ready, user, bob, steps):
    test = transaction.atomic()
    # Each operation has its own order of locks, as in the transaction that pytest-django begins.
    test._from_testcase = True
    with test:
        story = Story(ready, {"ada": user, "bob": bob})
        for operation, person, field, value in steps:
            if operation == "edit":
                story.edit(person, field, value)
            elif operation == "revert":
                story.revert(person, field)
            else:
                getattr(story, operation)(person)
            assert draft_of(ready) == story.draft
        transaction.set_rollback(True)
