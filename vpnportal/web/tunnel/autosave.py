"""Autosave: one field of a draft for htmx, or every changed field of a fieldset without it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST

from vpnportal import services
from vpnportal.models import Tunnel
from vpnportal.services import EditConflict, Refused
from vpnportal.services.edit_conflicts import key_version_of
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest, render_fragment, status_of
from vpnportal.web.tunnel.draft_version import written
from vpnportal.web.tunnel.forms import FORMS, KEY, DraftForm
from vpnportal.web.tunnel.page import key_context, state_context, tunnel_page


@require_POST
@sensitive_post_parameters(KEY)
def autosave(request: HtmxRequest, pk: int) -> HttpResponse:
    """Save what is right of what was sent, say what is wrong with the rest."""
    tunnel = get_object_or_404(Tunnel.objects.editable_by(request.user), pk=pk)
    form = _form(request, tunnel)
    one = request.htmx.trigger_name if request.htmx else None
    if one:
        try:
            form.narrow(one)
        except KeyError:
            raise BadRequest("There is no such field.") from None
    status = _save(tunnel, form, request.user, [one] if one else form.changed_data)
    if request.htmx:
        shown = {"form": form, "one": one, "editable": True, **state_context(tunnel)}
        if KEY in form.kept:
            shown |= key_context(request, tunnel)
        return render_fragment(request, "tunnel/responses/autosave.html", shown, status)
    if status != OK:
        first = next(name for name in form.fields if name in form.errors)
        form.fields[first].widget.attrs["autofocus"] = True
        return tunnel_page(request, tunnel, status, **{form.slug: form})
    saved = ", ".join(str(form.fields[name].label) for name in form.kept)
    messages.success(request, f"Saved: {saved}." if saved else "Nothing was changed.")
    return redirect(reverse("tunnel", args=[pk]) + f"#{form.slug}")


def _form(request: HtmxRequest, tunnel: Tunnel) -> DraftForm:
    try:
        form_class = FORMS[request.POST.get("fieldset", "")]
    except KeyError:
        raise BadRequest("There is no such fieldset.") from None
    return form_class(tunnel, request.POST)


@sensitive_variables("value")
def _save(tunnel: Tunnel, form: DraftForm, author: User, names: list[str]) -> int:
    """Keep each of these fields that is well-formed; the status that tells how it went."""
    status = UNPROCESSABLE if form.errors else OK
    for name in names:
        if name in form.errors:
            continue
        value, seen = form.cleaned_data[name], form.seen(name)
        try:
            kept = _keep(tunnel, name, value, author, seen)
        except Refused as refused:
            status = max(status, status_of(refused))
            form.add_error(name, str(refused))
            if isinstance(refused, EditConflict):
                form.theirs[name] = _rendered(tunnel, name)
            continue
        if kept:
            form.kept[name] = _rendered(tunnel, name)
    return status


def _rendered(tunnel: Tunnel, name: str) -> object:
    """What is kept now, as a form shows it: of a preshared key only its version."""
    if name == KEY:
        return written(key_version_of(tunnel))
    return Tunnel.objects.values_list(name, flat=True).get(pk=tunnel.pk)


@sensitive_variables("value")
def _keep(tunnel: Tunnel, name: str, value: object, author: User, seen: Any) -> bool:
    if name != KEY:
        services.edit(tunnel, name, value, author, seen)
    elif value:
        services.set_preshared_key(tunnel, str(value), author, seen)
    return name != KEY or bool(value)
