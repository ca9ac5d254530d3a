"""The page of a user's sessions: browser, address and time, and their ends."""

from __future__ import annotations

from allauth.usersessions.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST, require_safe

from vpnportal.web.accounts.events import record_session_end
from vpnportal.web.responses import HtmxRequest, render_page


@require_safe
def sessions(request: HtmxRequest) -> HttpResponse:
    """Render the sessions of the user, the newest first."""
    rows = UserSession.objects.purge_and_list(request.user)
    rows.sort(key=lambda session: session.last_seen_at, reverse=True)
    return render_page(request, "accounts/sessions.html", {"sessions": rows})


@require_POST
def end(request: HtmxRequest, pk: int) -> HttpResponse:
    """End a session of the user."""
    session = get_object_or_404(UserSession, pk=pk, user=request.user)
    is_current = session.is_current()
    get_adapter().end_sessions([session])
    record_session_end(request.user, 1)
    if is_current:
        logout(request)
        return redirect("account_login")
    messages.success(request, "Session ended.")
    return redirect("sessions")


@require_POST
def end_all(request: HtmxRequest) -> HttpResponse:
    """End all sessions of the user, with this one."""
    rows = list(UserSession.objects.filter(user=request.user))
    get_adapter().end_sessions(rows)
    record_session_end(request.user, len(rows))
    logout(request)
    messages.success(request, "You are signed out everywhere.")
    return redirect("account_login")
