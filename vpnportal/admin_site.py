"""The site of the Django admin: it uses the portal's sign-in page, and only staff reach it.

With OPERATORS_NEED_SECOND_FACTOR, staff without a second factor is led to the page that adds one.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.apps import apps
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator

NEEDS_SECOND_FACTOR = "Administration needs a second factor. Add one, and save the recovery codes."


class AdministrationSite(AdminSite):
    """The admin site; a customer gets 404."""

    site_header = site_title = "vpnportal administration"
    index_title = "Administration"
    enable_nav_sidebar = False

    @method_decorator(login_not_required)
    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if _lacks_second_factor(request):
            messages.warning(request, NEEDS_SECOND_FACTOR)
            return redirect("mfa_index")
        if request.user.is_authenticated:
            raise Http404("These pages are for service operators.")
        query = urlencode({"next": request.GET.get("next", reverse("admin:index"))})
        return redirect(f"{reverse('account_login')}?{query}")

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and not _lacks_second_factor(request)


def _lacks_second_factor(request: HttpRequest) -> bool:
    user = request.user
    if not settings.OPERATORS_NEED_SECOND_FACTOR or not (user.is_staff and user.is_active):
        return False
    # The models are not loaded yet when the settings name this module.
    authenticators = apps.get_model("mfa", "Authenticator")._default_manager
    return not authenticators.filter(user=user, type__in=("totp", "webauthn")).exists()


class AdministrationConfig(AdminConfig):
    """The config in place of Django's admin config; `vpnportal.admin` registers the models."""

    default_site = "vpnportal.admin_site.AdministrationSite"
