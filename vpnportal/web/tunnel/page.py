"""The page of one tunnel: everything its templates show, with what somebody typed kept."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from django.http import HttpResponse
from django.utils.functional import SimpleLazyObject

from vpnportal.domain import addresses
from vpnportal.domain.tunnel.preshared_keys import key_weakness
from vpnportal.domain.tunnel.spec import Problem, translation_address
from vpnportal.models import Subnet, Tunnel
from vpnportal.services import state_of, tunnel_commands
from vpnportal.services.drafts import EDITABLE
from vpnportal.services.edit_conflicts import KEY, newest_edit
from vpnportal.services.history import newest
from vpnportal.services.restore_draft import undoable
from vpnportal.services.review import review_of
from vpnportal.web.poll_tokens import token_of
from vpnportal.web.responses import OK, HtmxRequest, render_page
from vpnportal.web.tunnel import status_section as tunnel_status
from vpnportal.web.tunnel.diagnosis import finding_views
from vpnportal.web.tunnel.draft_version import written
from vpnportal.web.tunnel.forms import FORMS, label_of
from vpnportal.web.tunnel.peer_probe_section import peer_probe_context
from vpnportal.web.tunnel.translations.open_subnets import open_subnets_from, url_of
from vpnportal.web.tunnel.translations.table import TableState, look_at, table_context
from vpnportal.web.tunnel.trial_form import TrialForm

# How many of what was put right by itself the page lists, newest first.
REPAIRS = 5
# How many revisions.
ENTRIES = 5
# How many times that somebody was shown the key, newest first.
REVEALS = 3


def tunnel_page(
    request: HtmxRequest,
    tunnel: Tunnel,
    status: int = OK,
    sheet: TableState | None = None,
    /,
    **typed: Any,
) -> HttpResponse:
    """The whole page; `typed` replaces parts of it by what was entered and refused.

    So does the `sheet`, where rows of the table are part of the request.
    """
    context = state_context(tunnel)
    editable = is_editable(request, tunnel)
    forms = {slug: form(tunnel, None, editable) for slug, form in FORMS.items()}
    shown = {
        **context,
        **forms,
        **networks(tunnel),
        **key_context(request, tunnel),
        **(question := peer_probe_context(tunnel)),
        "status": tunnel_status.shown(tunnel, context["state"]),
        "editable": editable,
        **table_context(
            tunnel, context["state"].live, sheet or TableState(open_subnets_from(request.GET))
        ),
        "trial": TrialForm(),
        "entries": newest(tunnel, ENTRIES),
        # What was typed and refused must not be lost with the controls that hold it.
        "shut": context["state"].locked and editable and not (typed or sheet),
        # Without JavaScript the page asks again by itself, unless that would undo typing.
        "again": (context["state"].locked or question["asking"]) and not (typed or sheet),
        **typed,
    }
    return render_page(request, "tunnel/page.html", shown, status)


def is_editable(request: HtmxRequest, tunnel: Tunnel) -> bool:
    """Whether this person may change the tunnel, or only look."""
    return Tunnel.objects.editable_by(request.user).present().filter(pk=tunnel.pk).exists()


def networks(tunnel: Tunnel) -> dict[str, Any]:
    """The subnets of both ends, sorted by address, and what more this end offers."""
    rows = sorted(tunnel.subnets.all(), key=lambda row: row.network)
    offered = Subnet.objects.offered_to(tunnel).exclude(pk__in=[row.pk for row in rows])
    more = sorted(offered, key=lambda row: row.network)
    remote = [row for row in rows if row.kind == Subnet.Kind.CUSTOMER]
    return {
        "remote_subnets": [(row, addresses.subnet_warning(row.network)) for row in remote],
        "hosted_subnets": _attached(Subnet.Kind.HOSTED, "Hosted", rows, more),
        "service_subnets": _attached(Subnet.Kind.SERVICE, "Service", rows, more),
    }


def _attached(
    kind: Subnet.Kind, word: str, rows: list[Subnet], more: list[Subnet]
) -> dict[str, Any]:
    """What `tunnel/_hosted_subnets.html` shows of one kind."""
    return {
        "kind": kind.value,
        "word": word,
        "rows": [row for row in rows if row.kind == kind],
        "offered": [row for row in more if row.kind == kind],
    }


def key_context(request: HtmxRequest, tunnel: Tunnel) -> dict[str, Any]:
    """What is said of the preshared key, without it; how weak it is only to those who edit.

    `owned` says whether this person may be shown it, and may cancel the tunnel.
    """
    key = tunnel.preshared_key
    owned = Tunnel.objects.owned_by(request.user).filter(pk=tunnel.pk).exists()
    may = bool(key) and (owned or is_editable(request, tunnel))
    return {
        "owned": owned,
        "weakness": key_weakness(key.open(tunnel.preshared_key_context)) if may else "",
        "reveals": list(tunnel.key_reveals.select_related("author")[:REVEALS]),
    }


def state_context(tunnel: Tunnel) -> dict[str, Any]:
    """What `tunnel/_state.html` shows; `token` changes exactly when that does.

    `version` is read before the draft: what is shown is never older than that.
    """
    version = newest_edit(tunnel)
    tunnel.refresh_from_db(fields=[*EDITABLE, KEY, "hosted_peer"])
    state = state_of(tunnel)
    findings = finding_views(tunnel, state)
    words = [one.words for one in findings]
    repairs = list(tunnel.repairs.all()[:REPAIRS])
    wish = tunnel_commands.newest(tunnel)
    wish_open = tunnel_commands.is_open(wish)
    return {
        "tunnel": tunnel,
        "state": state,
        "findings": findings,
        "repairs": repairs,
        "wish": wish,
        "wish_open": wish_open,
        "version": written(version),
        "review": SimpleLazyObject(lambda: review_of(tunnel, state)),
        "aside": SimpleLazyObject(lambda: undoable(tunnel)),
        "token": token_of(state, words, repairs, (wish, wish_open), version),
    }


def problem_links(
    tunnel: Tunnel, problems: Iterable[Problem], shown: Container[str] = ()
) -> list[dict[str, str]]:
    """Problems as the page lists them: the field's label, the words, and where to go.

    `shown` are the addresses whose rows are open on the page already.
    """
    return [
        {"label": label_of(one.field), "text": one.text, "href": _place(tunnel, one.field, shown)}
        for one in problems
    ]


def _place(tunnel: Tunnel, field: str, shown: Container[str]) -> str:
    if field in ("remote_subnets", "hosted_subnets", "service_subnets"):
        return f"#{field}"
    address = translation_address(field)
    if address is None:
        return f"#id_{field}" if field else ""
    if address in shown:
        return f"#customer-{address}"
    looks = look_at(tunnel, address)
    return url_of(tunnel, looks, f"customer-{address}") if looks else "#static-nat"
