"""SoftLayer_User_Customer: the user of the key, without methods to change keys or passwords."""

from __future__ import annotations

from django.contrib.auth.models import User

from vpnportal.api import lookup
from vpnportal.api.calls import Caller
from vpnportal.api.faults import not_implemented, passwords_refused
from vpnportal.api.registry import register_service
from vpnportal.api.types.users import USER
from vpnportal.models import Scope

NO_KEYS = (
    "The API creates no API keys. Create one on the page Accounts, or with manage.py apikey "
    "create. It has 64 characters and is shown once."
)


def _find_self(caller: Caller, object_id: object) -> User:
    return lookup.get_or_fault(User.objects.filter(pk=caller.user.pk), object_id)


service = register_service(USER.name)
service.add_getters(USER, _find_self)


@service.method("addApiAuthenticationKey", find=_find_self, scope=Scope.READ)
def add_api_authentication_key(caller: Caller, user: User) -> str:
    """Refuse to create an API key: a leaked key could create one without expiry or networks."""
    raise not_implemented(NO_KEYS)


@service.method("getPortalLoginToken", scope=Scope.READ)
def get_portal_login_token(caller: Caller) -> dict[str, object]:
    """Refuse to sign in by password, with the same fault as for a call without an API key."""
    raise passwords_refused()
