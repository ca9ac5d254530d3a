"""The page of one tunnel as a dataclass: after a refusal, a view replaces some of its fields.

`views.tunnel` renders the page. Without JavaScript, other views render the page after a refusal.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import TypedDict

from django.http import HttpResponse

from vpnportal.domain.tunnel.spec import Problem, translation_address
from vpnportal.models import TranslationImport, Tunnel
from vpnportal.services import HistoryEntry, newest_entries, newest_import
from vpnportal.web.responses import OK, HtmxRequest, context_of, render_page
from vpnportal.web.tunnel.access import is_editable
from vpnportal.web.tunnel.concurrent_edits import ConcurrentEdits
from vpnportal.web.tunnel.forms import FORMS, DraftForm, label_of
from vpnportal.web.tunnel.peer_probe_section import PeerProbeSection, peer_probe_section
from vpnportal.web.tunnel.preshared_key_section import (
    PresharedKeySection,
    preshared_key_section,
)
from vpnportal.web.tunnel.state_box import MAX_REVISIONS, StateBox, state_box_of
from vpnportal.web.tunnel.status_section import StatusSection, status_section
from vpnportal.web.tunnel.subnet_sections import SubnetSections, subnet_sections
from vpnportal.web.tunnel.translations.csv_import import PastedRows
from vpnportal.web.tunnel.translations.open_subnets import open_subnets_from, url_of
from vpnportal.web.tunnel.translations.table import (
    TableState,
    TranslationTable,
    open_subnet_of,
    translation_table,
)
from vpnportal.web.tunnel.trial_form import TrialForm


class ProblemLink(TypedDict):
    """A problem as the page lists it: label of the field, text, and link to the field or ""."""

    label: str
    text: str
    href: str


@dataclass(frozen=True, slots=True)
class TunnelPage:
    """The content of `tunnel/page.html`; each field is a name in the template.

    `has_unsaved_content` says that the page shows refused input or a revealed key. Such a page
    neither disables its controls nor reloads itself, because both would lose that content.
    """

    tunnel: Tunnel
    editable: bool
    is_owner: bool
    state_box: StateBox
    forms: Mapping[str, DraftForm]
    preshared_key: PresharedKeySection
    peer_probe: PeerProbeSection
    subnets: SubnetSections
    table: TranslationTable
    translation_import: TranslationImport | None
    trial: TrialForm
    status: StatusSection
    revisions: list[HistoryEntry]
    concurrent_edits: ConcurrentEdits
    problems: list[ProblemLink]
    command_refusal: str = ""
    pasted: PastedRows | None = None
    has_unsaved_content: bool = False

    @property
    def is_disabled(self) -> bool:
        """True if the controls are disabled, because an apply locks the tunnel."""
        return self.editable and self.state_box.state.locked and not self.has_unsaved_content

    @property
    def reloads_itself(self) -> bool:
        """True if a browser without JavaScript reloads the page until an apply or probe ends."""
        is_waiting = self.state_box.state.locked or self.peer_probe.is_running
        return is_waiting and not self.has_unsaved_content


def tunnel_page(
    request: HtmxRequest, tunnel: Tunnel, *, table_state: TableState | None = None
) -> TunnelPage:
    """Return the page of a tunnel in a constant number of queries.

    `table_state` is the state of the translation table after a request with table rows.
    """
    state_box = state_box_of(tunnel)
    editable = is_editable(request, tunnel)
    preshared_key = preshared_key_section(request, tunnel, state=state_box.state)
    has_unsaved_content = table_state is not None
    table_state = table_state or TableState(open_subnets_from(request.GET))
    return TunnelPage(
        tunnel=tunnel,
        editable=editable,
        is_owner=preshared_key.is_owner,
        state_box=state_box,
        forms={slug: form(tunnel, None, editable) for slug, form in FORMS.items()},
        preshared_key=preshared_key,
        peer_probe=peer_probe_section(tunnel, state_box.version),
        subnets=subnet_sections(tunnel),
        table=translation_table(tunnel, state_box.state.live, table_state),
        translation_import=newest_import(tunnel),
        trial=TrialForm(),
        status=status_section(tunnel, state_box.state),
        revisions=newest_entries(tunnel, MAX_REVISIONS),
        concurrent_edits=ConcurrentEdits(),
        problems=[],
        has_unsaved_content=has_unsaved_content,
    )


def render_tunnel_page(request: HtmxRequest, page: TunnelPage, status: int = OK) -> HttpResponse:
    """Render `tunnel/page.html` with the fields of `page`, and with the HTTP status."""
    properties = {"is_disabled": page.is_disabled, "reloads_itself": page.reloads_itself}
    return render_page(request, "tunnel/page.html", {**context_of(page), **properties}, status)


def problem_links(
    tunnel: Tunnel, problems: Iterable[Problem], visible_rows: Container[str] = ()
) -> list[ProblemLink]:
    """Return the problems with links to their fields.

    `visible_rows` are the internal addresses whose rows the page shows already.
    """
    return [
        {
            "label": label_of(problem.field),
            "text": problem.text,
            "href": _href(tunnel, problem.field, visible_rows),
        }
        for problem in problems
    ]


def _href(tunnel: Tunnel, field: str, visible_rows: Container[str]) -> str:
    if field in ("remote_subnets", "hosted_subnets", "service_subnets"):
        return f"#{field}"
    address = translation_address(field)
    if address is None:
        return f"#id_{field}" if field else ""
    if address in visible_rows:
        return f"#customer-{address}"
    open_subnets = open_subnet_of(tunnel, address)
    return url_of(tunnel, open_subnets, f"customer-{address}") if open_subnets else "#static-nat"
