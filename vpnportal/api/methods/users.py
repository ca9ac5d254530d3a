"""SoftLayer_User_Customer: whose key it is. Keys and passwords are for the pages."""

from __future__ import annotations

from django.contrib.auth.models import User

from vpnportal.api import lookup
from vpnportal.api.calls import Caller
from vpnportal.api.faults import Fault, no_passwords
from vpnportal.api.registry import service
from vpnportal.api.types.users import USER

NO_KEYS = (
    "Programs make no API keys: make one on the account page, or with manage.py apikey create. It "
    "has 64 characters and is shown once."
)


def _oneself(caller: Caller, init: object) -> User:
    return lookup.get_or_fault(User.objects.filter(pk=caller.user.pk), init)


user = service(USER.name)
user.getters(USER, _oneself)


@user.method("addApiAuthenticationKey", find=_oneself)
def add_api_authentication_key(caller: Caller, one: User) -> str:
    """Refused: a key that leaked would make itself others, without its limits."""
    raise Fault("SoftLayer_Exception_NotImplemented", NO_KEYS, 501)


@user.method("getPortalLoginToken")
def get_portal_login_token(caller: Caller) -> dict[str, object]:
    """Refused, with a key as without one."""
    raise no_passwords()
