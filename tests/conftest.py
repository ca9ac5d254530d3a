"""What every test finds: a session key, because the product has none by default."""

from __future__ import annotations

import pytest
from django.conf import settings


def pytest_configure(config: pytest.Config) -> None:
    """A session key only for the tests, long enough for Django's own checks."""
    settings.SECRET_KEY = "only-the-tests-have-this-key-9c1d5a7e3f4b-and-nobody-else-0b6e"
