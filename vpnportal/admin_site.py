"""The site of the Django admin: it uses the portal's sign-in page, and only staff reach it."""

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
    """The admin site; a customer gets 404."""

    site_header = site_title = "vpnportal administration"
    index_title = "Administration"
    enable_nav_sidebar = False

    @method_decorator(login_not_required)
    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.user.is_authenticated:
            raise Http404("These pages are for service operators.")
        query = urlencode({"next": request.GET.get("next", reverse("admin:index"))})
        return redirect(f"{reverse('login')}?{query}")


class AdministrationConfig(AdminConfig):
    """The config in place of Django's admin config; `vpnportal.admin` registers the models."""

    default_site = "vpnportal.admin_site.AdministrationSite"
