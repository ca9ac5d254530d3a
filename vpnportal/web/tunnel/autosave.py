"""Autosave: one field of a draft for htmx, or all changed fields of a fieldset without JavaScript.

`autosave` parses the fields with a form of `forms`. `_save` writes each field: `services.edit`
locks the tunnel and detects edit conflicts. `_respond` renders the note of a field, and the review
of the pending changes as an htmx out-of-band swap.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.models import Tunnel
from vpnportal.services import EditConflict, Refused, key_version_of
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest, respond, status_of
from vpnportal.web.tunnel.access import editable_tunnel
from vpnportal.web.tunnel.draft_version import written
from vpnportal.web.tunnel.forms import FORMS, KEY_FIELD, DraftForm
from vpnportal.web.tunnel.page import render_tunnel_page, tunnel_page
from vpnportal.web.tunnel.preshared_key_section import preshared_key_section
from vpnportal.web.tunnel.state_box import state_box_of


@require_POST
@sensitive_post_parameters(KEY_FIELD)
def autosave(request: HtmxRequest, pk: int) -> HttpResponse:
    """Save the valid fields of the request, and render an error for each invalid field."""
    tunnel = editable_tunnel(request, pk)
    form = _form(request, tunnel)
    if request.htmx and (name := request.htmx.trigger_name):
        try:
            form.narrow(name)
        except KeyError:
            raise BadRequest("There is no such field.") from None
        names = [name]
    else:
        names = form.changed_data
    status = _save(tunnel, form, request.user, names)
    return _respond(request, tunnel, form, status)


def _form(request: HtmxRequest, tunnel: Tunnel) -> DraftForm:
    try:
        form_class = FORMS[request.POST.get("fieldset", "")]
    except KeyError:
        raise BadRequest("There is no such fieldset.") from None
    return form_class(tunnel, request.POST)


@sensitive_variables("value")
def _save(tunnel: Tunnel, form: DraftForm, author: User, names: list[str]) -> int:
    """Save each field in `names` that has no error; return the highest HTTP status code.

    The results are added to `form.saved_values`, `form.conflicting_values` and `form.errors`.
    """
    status = UNPROCESSABLE if form.errors else OK
    for name in names:
        if name in form.errors:
            continue
        value, last_seen = form.cleaned_data[name], form.last_seen_value(name)
        if name == KEY_FIELD and not value:
            # An empty key field keeps the key: the page never has the key in it.
            continue
        try:
            _write(tunnel, name, value, author, last_seen)
        except Refused as refused:
            status = max(status, status_of(refused))
            form.add_error(name, str(refused))
            if isinstance(refused, EditConflict):
                form.conflicting_values[name] = _saved_value(tunnel, name)
        else:
            form.saved_values[name] = _saved_value(tunnel, name)
    return status


@sensitive_variables("value")
def _write(tunnel: Tunnel, name: str, value: object, author: User, last_seen: Any) -> None:
    if name == KEY_FIELD:
        services.set_preshared_key(tunnel, str(value), author, last_seen)
    else:
        services.edit(tunnel, name, value, author, last_seen)


def _saved_value(tunnel: Tunnel, name: str) -> object:
    """Return the saved value as a form shows it; of a preshared key, only its version."""
    if name == KEY_FIELD:
        return written(key_version_of(tunnel))
    return Tunnel.objects.values_list(name, flat=True).get(pk=tunnel.pk)


def _respond(request: HtmxRequest, tunnel: Tunnel, form: DraftForm, status: int) -> HttpResponse:
    labels = ", ".join(str(form.fields[name].label) for name in form.saved_values)
    return respond(
        request,
        fragment="tunnel/responses/autosave.html",
        context=lambda: _context(request, tunnel, form),
        redirect_to=reverse("tunnel", args=[tunnel.pk]) + f"#{form.slug}",
        full_page=None if status == OK else lambda: _page(request, tunnel, form, status),
        message=f"Saved: {labels}." if labels else "Nothing was changed.",
        status=status,
    )


def _context(request: HtmxRequest, tunnel: Tunnel, form: DraftForm) -> dict[str, object]:
    state_box = state_box_of(tunnel)
    context: dict[str, object] = {
        "tunnel": tunnel,
        "editable": True,
        "form": form,
        "is_single_field": bool(request.htmx.trigger_name),
        "state_box": state_box,
    }
    if KEY_FIELD in form.saved_values:
        context["preshared_key"] = preshared_key_section(request, tunnel, state=state_box.state)
    return context


def _page(request: HtmxRequest, tunnel: Tunnel, form: DraftForm, status: int) -> HttpResponse:
    """Render the whole page with the typed values, and the focus on the first invalid field."""
    first = next(name for name in form.fields if name in form.errors)
    form.fields[first].widget.attrs["autofocus"] = True
    page = tunnel_page(request, tunnel)
    forms = {**page.forms, form.slug: form}
    return render_tunnel_page(request, replace(page, forms=forms, has_unsaved_content=True), status)
