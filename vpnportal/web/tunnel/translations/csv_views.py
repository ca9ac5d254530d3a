"""CSV files of the translation table: export, preview of an import, and the import itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from django.contrib import messages
from django.core import signing
from django.core.exceptions import BadRequest
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from vpnportal import services
from vpnportal.domain.addresses import dotted, number
from vpnportal.domain.tunnel.spec import Problem
from vpnportal.domain.tunnel.translation_csv import as_csv, decode, read_rows
from vpnportal.models import Tunnel
from vpnportal.services import LONG_IMPORT_ROWS, Refused
from vpnportal.web.accounts.confirmation import confirmed
from vpnportal.web.middleware import FILE_BYTES
from vpnportal.web.responses import (
    OK,
    UNPROCESSABLE,
    HtmxRequest,
    render_page,
    respond,
    status_of,
)
from vpnportal.web.tunnel.access import editable_tunnel, visible_tunnel
from vpnportal.web.tunnel.page import render_tunnel_page, tunnel_page
from vpnportal.web.tunnel.translations.csv_import import (
    CsvError,
    PastedRows,
    Preview,
    parse_rows,
    preview,
)
from vpnportal.web.tunnel.translations.open_subnets import open_subnets_from
from vpnportal.web.tunnel.translations.submitted_rows import (
    CustomerPair,
    SubmittedRow,
    changed_rows,
    saved_pairs,
    unsaved,
)
from vpnportal.web.tunnel.translations.table import (
    TableState,
    static_nat_subnets,
    translation_table,
)

# All addresses of a /16, and a header.
MAX_LINES = 65_537
# The preview lists the first rows of each kind and counts the rest.
MAX_LISTED = 250
PREVIEW_SECONDS = 3600
CSV = "text/csv; charset=utf-8"


@dataclass(frozen=True, slots=True)
class ImportPage:
    """Data of the import page; `carried` is the signed changes, "" if nothing can be imported."""

    preview: Preview
    pasted: PastedRows
    removes_missing: bool
    carried: str
    problems: tuple[Problem, ...] = ()

    @property
    def status(self) -> int:
        return UNPROCESSABLE if self.preview.errors or self.problems else OK


@require_safe
@confirmed
def export(request: HtmxRequest, pk: int) -> StreamingHttpResponse:
    """Send a CSV file of the translations; with `?all=1`, of all static NAT addresses."""
    tunnel = visible_tunnel(request, pk)
    saved = saved_pairs(tunnel)
    rows = _all_rows(tunnel, saved) if request.GET.get("all") else _translated_rows(saved)
    # Without a byte order mark spreadsheets assume another encoding than UTF-8. ASCII needs none.
    mark = "" if all(pair.name.isascii() for pair in saved.values()) else "\ufeff"
    response = StreamingHttpResponse(_encoded(mark, as_csv(rows)), content_type=CSV)
    response["Content-Disposition"] = f'attachment; filename="{tunnel.name}-translations.csv"'
    return response


def _encoded(mark: str, lines: Iterator[str]) -> Iterator[bytes]:
    yield mark.encode()
    for line in lines:
        yield line.encode()


def _translated_rows(saved: dict[str, CustomerPair]) -> Iterator[tuple[str, str, str]]:
    return ((address, *saved[address]) for address in sorted(saved, key=number))


def _all_rows(tunnel: Tunnel, saved: dict[str, CustomerPair]) -> Iterator[tuple[str, str, str]]:
    for subnet in static_nat_subnets(tunnel):
        last = int(subnet.network.broadcast_address)
        for address in map(dotted, range(int(subnet.network.network_address), last + 1)):
            yield (address, *saved.get(address, CustomerPair()))


@require_POST
def preview_import(request: HtmxRequest, pk: int) -> HttpResponse:
    """Render the changes that a CSV file or pasted rows would make; save nothing.

    The request also submits the translation table. Unsaved changes in the table are refused, so
    that the user does not lose them.
    """
    tunnel = editable_tunnel(request, pk)
    if changed := changed_rows(saved_pairs(tunnel), request.POST):
        return _refuse_unsaved(request, tunnel, changed)
    removes_missing = bool(request.POST.get("remove"))
    try:
        text, first = _text_and_first_address(request)
        rows, errors = parse_rows(read_rows(text, MAX_LINES), first)
        if not rows and not errors:
            raise ValueError("There is no row in it. Choose a CSV file or paste some rows.")
    except ValueError as error:
        result = Preview((), 0, (CsvError(0, str(error)),))
    else:
        result = preview(tunnel, rows, errors, removes_missing)
    page = _import_page(request, tunnel, result, removes_missing)
    return _render(request, tunnel, page, page.status)


def _refuse_unsaved(
    request: HtmxRequest, tunnel: Tunnel, changed: dict[str, SubmittedRow]
) -> HttpResponse:
    refused = Refused(*unsaved(changed))
    table_state = TableState(open_subnets_from(request.POST), changed, refused)
    page = tunnel_page(request, tunnel, table_state=table_state)
    page = replace(page, pasted=_pasted_rows(request))
    return render_tunnel_page(request, page, UNPROCESSABLE)


def _pasted_rows(request: HtmxRequest) -> PastedRows:
    return PastedRows(*(request.POST.get(name, "") for name in ("rows", "first", "remove")))


def _text_and_first_address(request: HtmxRequest) -> tuple[str, IPv4Address | None]:
    """Return the CSV text, and the first internal address if pasted rows contain no addresses."""
    file = request.FILES.get("file")
    if isinstance(file, UploadedFile):
        if (file.size or 0) > FILE_BYTES:
            raise ValueError(f"The file is larger than {FILE_BYTES >> 20} MiB. Import it in parts.")
        return decode(file.read()), None
    try:
        first = services.parse_address(request.POST.get("first", ""))
    except ValueError:
        raise ValueError("Enter the first address as one such as 10.1.255.92.") from None
    return request.POST.get("rows", ""), first


def _import_page(
    request: HtmxRequest,
    tunnel: Tunnel,
    preview: Preview,
    removes_missing: bool,
    problems: tuple[Problem, ...] = (),
) -> ImportPage:
    """Return the page; its form carries the changes, signed, so that the server stores nothing."""
    carried = ""
    if preview.changes and not preview.errors:
        changes = services.changes_as_json(preview.changes)
        carried = signing.dumps(changes, salt=_salt(request, tunnel), compress=True)
    return ImportPage(preview, _pasted_rows(request), removes_missing, carried, problems)


def _render(request: HtmxRequest, tunnel: Tunnel, page: ImportPage, status: int) -> HttpResponse:
    context = {
        "tunnel": tunnel,
        "page": page,
        "pasted": page.pasted,
        "max_listed": MAX_LISTED,
        "listed": f":{MAX_LISTED}",
    }
    return render_page(request, "tunnel/import.html", context, status)


def _salt(request: HtmxRequest, tunnel: Tunnel) -> str:
    """Return a salt that makes a preview valid for one user and one tunnel only."""
    return f"import into {tunnel.pk} by {request.user.pk}"


@require_POST
def import_rows(request: HtmxRequest, pk: int) -> HttpResponse:
    """Save all changes of a preview; none if another user has changed one of the rows since.

    Many changes are left to the portal's tasks worker, and the tunnel's page shows its progress.
    """
    tunnel = editable_tunnel(request, pk)
    try:
        carried = signing.loads(
            request.POST.get("carried", ""), salt=_salt(request, tunnel), max_age=PREVIEW_SECONDS
        )
    except signing.BadSignature:
        raise BadRequest("This preview is expired or invalid.") from None
    changes = services.changes_from_json(carried)
    rows, is_long = [change.row for change in changes], len(changes) > LONG_IMPORT_ROWS
    try:
        if is_long:
            services.request_import(tunnel, changes, request.user)
        else:
            previewed = {change.internal: change.seen for change in changes}
            services.set_translations(tunnel, rows, request.user, previewed)
    except Refused as refused:
        by_address = {row.internal: (0, row) for row in rows}
        result = preview(tunnel, by_address, (), remove_missing=False)
        page = _import_page(request, tunnel, result, False, refused.problems)
        return _render(request, tunnel, page, status_of(refused))
    if not is_long:
        messages.success(request, f"{len(rows)} row{'' if len(rows) == 1 else 's'} imported.")
    return redirect(reverse("tunnel", args=[pk]) + "#static_nat")


@require_safe
def import_progress(request: HtmxRequest, pk: int, number: int) -> HttpResponse:
    """Render a long import for the poll of the tunnel's page; with the numbers of rows at its end.

    The rows of open subnets stay as they are, because the user may have typed in them.
    """
    tunnel = visible_tunnel(request, pk)
    row = services.import_of(tunnel, number)
    if row is None:
        raise Http404("This tunnel has no such import.")

    def context() -> dict[str, object]:
        ended = not row.is_unfinished
        table = translation_table(tunnel, None, TableState({})) if ended else None
        return {"tunnel": tunnel, "translation_import": row, "has_ended": ended, "table": table}

    return respond(
        request,
        fragment="tunnel/responses/import_progress.html",
        context=context,
        redirect_to=reverse("tunnel", args=[pk]) + "#static_nat",
    )
