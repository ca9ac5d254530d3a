"""A Django project with one view, without middleware and database, for gunicorn."""

from __future__ import annotations

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

from tests.bench.fixed_response import view

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["localhost"], MIDDLEWARE=[])

urlpatterns = [path("bare/", view)]
application = get_wsgi_application()
