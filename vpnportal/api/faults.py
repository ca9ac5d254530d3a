"""Faults of the SoftLayer API: code, text and HTTP status.

REST sends the status and `{"error": text, "code": code}`, XML-RPC always 200 and a `<fault>`. Texts
that begin with "server error", "parse error", "Unable to find" or "Invalid API token" are those of
the old service. Other texts are the portal's own.
"""

from __future__ import annotations

from collections.abc import Mapping


class Fault(Exception):
    """Refusal of a call.

    `code` is the name of a SoftLayer exception or a number of XML-RPC; clients compare it. `status`
    is the HTTP status over REST. `headers` are HTTP headers of the response.
    """

    def __init__(
        self, code: str, text: str, status: int = 500, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status
        self.headers = headers or {}


def object_not_found(object_id: object) -> Fault:
    """Return the fault for an object that is missing, in another account, or forbidden by the role.

    The three faults are equal, so that no caller can probe for objects of other accounts.
    """
    text = f"Unable to find object with id of '{object_id}'."
    return Fault("SoftLayer_Exception_ObjectNotFound", text, 404)


def service_not_found(name: str) -> Fault:
    """Return the fault for an unknown service."""
    return public_fault(f"Service {name} does not exist.")


def method_not_found(name: str) -> Fault:
    """Return the fault for a method that the service does not have."""
    return Fault("-32601", f"server error. requested method not found: {name}", 404)


def missing_parameters() -> Fault:
    """Return the fault for a call without its init id or without its struct of headers."""
    return Fault("-32602", "server error. invalid method init parameters", 400)


def not_well_formed(reason: object) -> Fault:
    """Return the fault for a body that is no XML-RPC call."""
    return Fault("-32700", f"parse error. not well formed: {reason}", 400)


def public_fault(text: str, status: int = 500) -> Fault:
    """Return a fault with the code SoftLayer_Exception_Public and the given HTTP status."""
    return Fault("SoftLayer_Exception_Public", text, status)


def invalid_value(text: str) -> Fault:
    """Return the fault for a value that its property cannot have."""
    return Fault("SoftLayer_Exception_InvalidValue", text, 400)


def bad_request(text: str, status: int = 400) -> Fault:
    """Return the fault for a request that cannot be parsed into a call."""
    return Fault("SoftLayer_Exception_WebService_BadRequest", text, status)


def not_implemented(text: str) -> Fault:
    """Return the fault for a method that this portal refuses to everyone."""
    return Fault("SoftLayer_Exception_NotImplemented", text, 501)


def permission_denied(text: str) -> Fault:
    """Return the fault for a role that may not call the method."""
    return Fault("SoftLayer_Exception_PermissionDenied", text, 403)


def out_of_scope(permission: str) -> Fault:
    """Return the fault for a key whose scope is too small; the call needs `permission`."""
    return permission_denied(
        f"This API key may not do that. Create one with the permission {permission}."
    )


def verb_not_allowed(allowed: str) -> Fault:
    """Return the fault for an HTTP verb without a meaning here; `allowed` is the Allow header."""
    text = f"The HTTP method must be one of: {allowed}."
    return Fault("SoftLayer_Exception_Public", text, 405, {"Allow": allowed})


def invalid_key() -> Fault:
    """Return the only fault for keys that do not authenticate: it does not reveal the reason.

    softlayer-python searches the text for "invalid api token". Browsers do not know the scheme in
    WWW-Authenticate. With Basic, a browser would ask for a key and add it to cross-site requests.
    """
    headers = {"WWW-Authenticate": 'ApiKey realm="vpnportal"'}
    return Fault("SoftLayer_Exception_Public", "Invalid API token.", 401, headers)


def passwords_refused() -> Fault:
    """Return the fault for a sign-in by password: only the sign-in page limits guesses."""
    return not_implemented(
        "The API accepts no passwords. Create an API key on the page Accounts and enter its 64 "
        "characters in place of the password."
    )


def database_fault() -> Fault:
    """Return the fault for a database that does not answer or cannot write."""
    text = "The portal's database does not answer. Check what is saved before you repeat the call."
    return Fault("SoftLayer_Exception_Public", text, 503, {"Retry-After": "10"})


def rate_limited(seconds: float) -> Fault:
    """Return the fault for too many requests (RFC 6585); Go clients retry on this code.

    `seconds` is the time until the next request is allowed.
    """
    code = "SoftLayer_Exception_WebService_RateLimitExceeded"
    wait = max(1, round(seconds))
    text = f"Too many requests: try again in {wait} seconds."
    return Fault(code, text, 429, {"Retry-After": str(wait)})
