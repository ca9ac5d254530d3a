"""The options of a passkey as JSON, for an attribute that `static/passkeys.js` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import template

register = template.Library()


@register.filter
def options_json(options: Mapping[str, Any]) -> str:
    """Return the options of a WebAuthn ceremony as JSON (Web Authentication, 5.1.9 and 5.1.10)."""
    return json.dumps(options["publicKey"], default=dict)
