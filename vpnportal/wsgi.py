"""The door through which gunicorn reaches the portal."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vpnportal.settings")

application = get_wsgi_application()
