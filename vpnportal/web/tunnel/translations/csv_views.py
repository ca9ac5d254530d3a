"""The translation table as a CSV file: export, preview of an import, and the import itself."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from django.contrib import messages
from django.core import signing
from django.core.exceptions import BadRequest
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from vpnportal import services
from vpnportal.domain.addresses import dotted, number
from vpnportal.domain.tunnel.spec import Problem
from vpnportal.domain.tunnel.translation_csv import as_csv, decode, read_rows
from vpnportal.models import Tunnel
from vpnportal.services import Refused, input_parsing
from vpnportal.web.middleware import FILE_BYTES
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest, render_page, status_of
from vpnportal.web.tunnel.page import tunnel_page
from vpnportal.web.tunnel.translations.csv_import import (
    CsvError,
    Preview,
    as_json,
    from_json,
    preview,
    rows_of,
)
from vpnportal.web.tunnel.translations.open_subnets import open_subnets_from
from vpnportal.web.tunnel.translations.submitted_rows import (
    CustomerPair,
    changed_rows,
    saved_pairs,
    unsaved,
)
from vpnportal.web.tunnel.translations.table import TableState, static_nat

# All addresses of a /16, and a header.
MOST_LINES = 65_537
# So many of each kind a preview lists; the rest is counted.
LISTED = 250
PREVIEW_SECONDS = 3600
CSV = "text/csv; charset=utf-8"


@require_safe
def export(request: HtmxRequest, pk: int) -> StreamingHttpResponse:
    """The translated rows, or all addresses of the subnets with `?all=1`."""
    tunnel = get_object_or_404(Tunnel.objects.visible_to(request.user), pk=pk)
    kept = saved_pairs(tunnel)
    rows = _every_row(tunnel, kept) if request.GET.get("all") else _translated(kept)
    # Spreadsheets take a file without this mark for another encoding; only then does it matter.
    mark = "" if all(pair.name.isascii() for pair in kept.values()) else "\ufeff"
    answer = StreamingHttpResponse(_encoded(mark, as_csv(rows)), content_type=CSV)
    answer["Content-Disposition"] = f'attachment; filename="{tunnel.name}-translations.csv"'
    return answer


def _encoded(mark: str, lines: Iterator[str]) -> Iterator[bytes]:
    yield mark.encode()
    for line in lines:
        yield line.encode()


def _translated(kept: dict[str, CustomerPair]) -> Iterator[tuple[str, str, str]]:
    return ((at, *kept[at]) for at in sorted(kept, key=number))


def _every_row(tunnel: Tunnel, kept: dict[str, CustomerPair]) -> Iterator[tuple[str, str, str]]:
    for row in static_nat(tunnel):
        last = int(row.network.broadcast_address)
        for at in map(dotted, range(int(row.network.network_address), last + 1)):
            yield (at, *kept.get(at, CustomerPair()))


@require_POST
def preview_import(request: HtmxRequest, pk: int) -> HttpResponse:
    """What a file, or pasted rows, would change; nothing is saved.

    Rows of the table that were typed and not saved come along, and are not lost for it.
    """
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    changed = changed_rows(saved_pairs(tunnel), request.POST)
    if changed:
        sheet = TableState(open_subnets_from(request.POST), changed, Refused(*unsaved(changed)))
        return tunnel_page(request, tunnel, UNPROCESSABLE, sheet, pasted=_pasted(request))
    remove = bool(request.POST.get("remove"))
    try:
        text, first = _given(request)
        rows, wrong = rows_of(read_rows(text, MOST_LINES), first)
        if not rows and not wrong:
            raise ValueError("There is no row in it. Choose a CSV file or paste some rows.")
    except ValueError as error:
        return _shown(request, tunnel, Preview((), 0, (CsvError(0, str(error)),)), remove)
    return _shown(request, tunnel, preview(tunnel, rows, wrong, remove), remove)


def _pasted(request: HtmxRequest) -> dict[str, str]:
    """What was entered beside the file, for a page that refuses it."""
    return {name: request.POST.get(name, "") for name in ("rows", "first", "remove")}


def _given(request: HtmxRequest) -> tuple[str, IPv4Address | None]:
    """The text, and the address of its first row if its lines have none."""
    file = request.FILES.get("file")
    if isinstance(file, UploadedFile):
        if (file.size or 0) > FILE_BYTES:
            raise ValueError(f"The file is larger than {FILE_BYTES >> 20} MiB. Import it in parts.")
        return decode(file.read()), None
    try:
        first = input_parsing.address(request.POST.get("first", ""))
    except ValueError:
        raise ValueError("Enter the first address as one such as 10.1.255.92.") from None
    return request.POST.get("rows", ""), first


def _shown(
    request: HtmxRequest,
    tunnel: Tunnel,
    found: Preview,
    remove: bool,
    problems: tuple[Problem, ...] = (),
) -> HttpResponse:
    """The page of a preview; its form carries what would change, signed, and nothing is kept."""
    context: dict[str, Any] = {
        "tunnel": tunnel,
        "preview": found,
        "removes_missing": remove,
        "pasted": _pasted(request),
        "problems": problems,
        "listed": f":{LISTED}",
        "listed_most": LISTED,
    }
    if found.changes and not found.wrong:
        context["carried"] = signing.dumps(
            as_json(found.changes), salt=_salt(request, tunnel), compress=True
        )
    refused = found.wrong or problems
    return render_page(request, "tunnel/import.html", context, UNPROCESSABLE if refused else OK)


def _salt(request: HtmxRequest, tunnel: Tunnel) -> str:
    return f"import into {tunnel.pk} by {request.user.pk}"


@require_POST
def import_rows(request: HtmxRequest, pk: int) -> HttpResponse:
    """All that was previewed, or nothing of it when somebody has changed one of its rows since."""
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    try:
        carried = signing.loads(
            request.POST.get("carried", ""), salt=_salt(request, tunnel), max_age=PREVIEW_SECONDS
        )
    except signing.BadSignature:
        raise BadRequest("This preview is too old, or none of ours.") from None
    rows, seen = from_json(carried)
    try:
        services.set_translations(tunnel, rows, request.user, seen)
    except Refused as refused:
        again = {row.internal: (0, row) for row in rows}
        found = preview(tunnel, again, (), remove_missing=False)
        answer = _shown(request, tunnel, found, False, refused.problems)
        answer.status_code = status_of(refused)
        return answer
    count = len(rows)
    messages.success(request, f"{count} row{'' if count == 1 else 's'} imported.")
    return redirect(reverse("tunnel", args=[pk]) + "#static_nat")
