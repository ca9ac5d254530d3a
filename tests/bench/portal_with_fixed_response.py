"""The portal with an additional view without authentication, for gunicorn."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.urls import path

from tests.bench.fixed_response import view
from vpnportal.wsgi import application

__all__ = ["application"]
urlpatterns = [path("bare/", login_not_required(view))]
settings.ROOT_URLCONF = __name__
