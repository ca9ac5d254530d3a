"""Lines of the log for each sign-in: outcome, address, and name.

A program such as fail2ban may read them. The name comes last, because its text is the client's.
"""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.http import HttpRequest

from vpnportal.http import client_address
from vpnportal.logs import printable

log = logging.getLogger("vpnportal.sign_in")
NAME_LENGTH = 80


def connect() -> None:
    """Log all sign-ins and sign-outs of this process."""
    user_logged_in.connect(_accepted, dispatch_uid="sign_in_log")
    user_logged_out.connect(_signed_out, dispatch_uid="sign_in_log")
    user_login_failed.connect(_refused, dispatch_uid="sign_in_log")


def _accepted(request: HttpRequest, user: User, **_: Any) -> None:
    log.info("sign-in accepted from %s for %r", client_address(request), user.get_username())


def _signed_out(request: HttpRequest, user: User | None, **_: Any) -> None:
    if user is not None:
        log.info("sign-out from %s of %r", client_address(request), user.get_username())


def _refused(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    name = printable(str(credentials.get("username", "")), NAME_LENGTH)
    address = client_address(request) if request is not None else "this machine"
    if getattr(request, "is_sign_in_blocked", False):
        # Without a password check it costs the client nothing.
        log.warning("sign-in blocked from %s for %r", address, name, extra={"sparse": True})
    else:
        log.warning("sign-in refused from %s for %r", address, name)
