"""WSGI application of the portal, which gunicorn loads."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vpnportal.settings")

application = get_wsgi_application()
# Read the code of all pages now: gunicorn's --preload shares its memory between the processes.
get_resolver().url_patterns  # noqa: B018
