"""The admin's site: people sign in where everybody does, and only the operators find it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator


class AdministrationSite(AdminSite):
    """Customers are told that there is no such page."""

    site_header = site_title = "vpnportal: operators of the service"
    index_title = "What the service consists of"
    enable_nav_sidebar = False

    @method_decorator(login_not_required)
    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.user.is_authenticated:
            raise Http404("These pages are for the operators of the service.")
        wanted = urlencode({"next": request.GET.get("next", reverse("admin:index"))})
        return redirect(f"{reverse('login')}?{wanted}")


class AdministrationConfig(AdminConfig):
    """Puts it in the place of Django's own; `vpnportal.admin` fills it."""

    default_site = "vpnportal.admin_site.AdministrationSite"
