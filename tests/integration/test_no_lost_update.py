"""Any order of edits by two people, with applies, discards and restores between: none is lost."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vpnportal import services
from vpnportal.domain.tunnel.spec import translation_field
from vpnportal.models import Revision, Subnet, Tunnel
from vpnportal.services import EditConflict, Refused, TunnelLocked, key_version_of, newest_edit

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
ACTS = ("look", "add", "remove", "apply", "discard", "put back", "restore", "undo")
STEPS = st.one_of(
    *(
        st.tuples(st.just("edit"), st.sampled_from(PEOPLE), st.just(name), st.sampled_from(several))
        for name, several in VALUES.items()
    ),
    st.tuples(
        st.sampled_from(ACTS), st.sampled_from(PEOPLE), st.sampled_from((*VALUES, NETS)), st.none()
    ),
)


def row(value: tuple[str | None, str]) -> services.TranslationRow:
    return services.TranslationRow(AT, IPv4Address(value[0]) if value[0] else None, value[1])


def kept(tunnel: Tunnel) -> dict[str, Any]:
    """The draft as it is, by field."""
    fresh = Tunnel.objects.get(pk=tunnel.pk)
    rows = [(str(one.customer), one.name) for one in fresh.draft().translations]
    return {
        **{name: getattr(fresh, name) for name in VALUES if name not in (KEY, ROW)},
        KEY: fresh.draft().preshared_key,
        ROW: rows[0] if rows else (None, ""),
        NETS: NET in fresh.networks(Subnet.Kind.CUSTOMER),
    }


class Story:
    """Two people at one draft, and beside it what the draft has to be.

    `last` has for each field who edited it last and when; `screens` what each person looks at.
    """

    def __init__(self, tunnel: Tunnel, people: dict[str, User]) -> None:
        self.tunnel, self.people = tunnel, people
        self.draft = kept(tunnel)
        self.now = 0
        self.last: dict[str, tuple[str, int]] = {}
        self.applied: list[dict[str, Any]] = []
        self.aside: tuple[dict[str, Any], int] | None = None
        self.screens: dict[str, dict[str, Any]] = {}
        for person in PEOPLE:
            self.look(person)

    def look(self, person: str) -> None:
        versions = {"version": newest_edit(self.tunnel), "key": key_version_of(self.tunnel)}
        when = {"when": self.now, "key when": self.last.get(KEY, ("", 0))[1]}
        self.screens[person] = {**self.draft, **versions, **when}

    def edit(self, person: str, field: str, value: Any) -> None:
        screen, there = self.screens[person], self.draft[field]
        same = screen[field] == there
        if field == KEY:
            same = screen["key when"] == self.last.get(KEY, ("", 0))[1]
        if field == ROW and value == screen[ROW]:
            # A row of the table that was not touched comes along with the others.
            self._write(person, field, value, screen)
            return
        told = self.told(lambda: self._write(person, field, value, screen))
        assert told == (EditConflict if value != there and not same else None)
        if told:
            self.look(person)
        elif value != there:
            self._changed(person, {**self.draft, field: value})
            screen[field] = value
            screen["key"], screen["key when"] = key_version_of(self.tunnel), self._key_when()

    def add(self, person: str) -> None:
        told = self.told(lambda: services.add_remote_subnet(self.tunnel, NET, self.people[person]))
        assert told == (Refused if self.draft[NETS] else None)
        if not told:
            self._changed(person, {**self.draft, NETS: True})

    def remove(self, person: str) -> None:
        found = self.tunnel.subnets.filter(network=NET).values_list("pk", flat=True).first()
        services.remove_remote_subnet(self.tunnel, found or 0, self.people[person])
        if found:
            self._changed(person, {**self.draft, NETS: False})

    def apply(self, person: str) -> None:
        seen = self.screens[person]["version"]
        told = self.told(lambda: services.apply(self.tunnel, self.people[person], seen=seen))
        assert told == (EditConflict if self._news_for(person) else None)
        if told:
            return
        assert self.told(lambda: self._write(person, "phase_one_group", 15, None)) is TunnelLocked
        assert self.told(lambda: services.discard(self.tunnel, self.people[person])) is TunnelLocked
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

    def put_back(self, person: str, field: str) -> None:
        target = {**self.draft, field: self.applied[-1][field]} if self.applied else None
        news = self.last.get(field, ("", 0))
        self._replace(
            person,
            lambda tunnel, author, seen: services.revert_field(tunnel, field, author, seen),
            target,
            news[0] not in ("", person) and news[1] > self.screens[person]["when"],
        )

    def undo(self, person: str) -> None:
        possible = self.aside is not None and self.aside[1] == self.now
        told = self.told(lambda: services.undo(self.tunnel, self.people[person]))
        assert told == (None if possible else Refused)
        if self.aside and possible:
            self._changed(person, self.aside[0])
            self.aside = None

    def _replace(
        self,
        person: str,
        act: Callable[[Tunnel, User, Any], object],
        target: dict[str, Any] | None,
        news: bool | None = None,
    ) -> None:
        before = self.draft
        seen = self.screens[person]["version"]
        told = self.told(lambda: act(self.tunnel, self.people[person], seen))
        if news or (news is None and self._news_for(person)):
            assert told is EditConflict
        elif target is None:
            assert told is Refused
        else:
            assert told is None
            self._changed(person, target)
            if before != target:
                self.aside = (before, self.now)

    def told(self, act: Callable[[], object]) -> type[Refused] | None:
        try:
            act()
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

    def _news_for(self, person: str) -> bool:
        seen = self.screens[person]["when"]
        return any(who != person and when > seen for who, when in self.last.values())

    def _key_when(self) -> int:
        return self.last.get(KEY, ("", 0))[1]


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, min_size=1, max_size=16))
def test_no_order_of_edits_applies_discards_and_restores_loses_an_update(ready, user, bob, steps):
    with transaction.atomic():
        story = Story(ready, {"ada": user, "bob": bob})
        for what, person, field, value in steps:
            if what == "edit":
                story.edit(person, field, value)
            elif what == "put back":
                story.put_back(person, field)
            else:
                getattr(story, what)(person)
            assert kept(ready) == story.draft
        transaction.set_rollback(True)
