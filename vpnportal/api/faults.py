"""What the old API said no with: a code, a text, and REST's status. Both doors write these down."""

from __future__ import annotations

from collections.abc import Mapping


class Fault(Exception):
    """`code` is the name of a SoftLayer exception or a number of XML-RPC; clients look at it.

    `headers` are those of HTTP that belong to it.
    """

    def __init__(
        self, code: str, text: str, status: int = 500, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status
        self.headers = headers or {}


def not_found(what: object) -> Fault:
    """Also for what is somebody else's, or not for this key's role: nobody can tell the three."""
    text = f"Unable to find object with id of '{what}'."
    return Fault("SoftLayer_Exception_ObjectNotFound", text, 404)


def public_fault(text: str, status: int = 500) -> Fault:
    """The general one: unknown services and methods, locks, refusals."""
    return Fault("SoftLayer_Exception_Public", text, status)


def invalid(text: str) -> Fault:
    """A value that cannot be."""
    return Fault("SoftLayer_Exception_InvalidValue", text, 400)


def bad_request(text: str, status: int = 400) -> Fault:
    """A request that no method is asked in."""
    return Fault("SoftLayer_Exception_WebService_BadRequest", text, status)


def wrong_method(allowed: str) -> Fault:
    """A verb of HTTP that has no meaning here."""
    text = f"Only {allowed} is understood here."
    return Fault("SoftLayer_Exception_Public", text, 405, {"Allow": allowed})


def wrong_key() -> Fault:
    """One text for a key that is unknown, revoked, expired, somebody else's or from elsewhere.

    Clients look for these words. The scheme is none that a browser knows: it would ask a person for
    the key, and send it with requests of other sites.
    """
    headers = {"WWW-Authenticate": 'ApiKey realm="vpnportal"'}
    return Fault("SoftLayer_Exception_Public", "Invalid API token.", 401, headers)


def no_passwords() -> Fault:
    """Whoever guesses passwords does it on the sign-in page, where it is limited."""
    text = (
        "Passwords are for the pages only: make an API key on the page Accounts, and enter its 64 "
        "characters in place of the password."
    )
    return Fault("SoftLayer_Exception_NotImplemented", text, 501)


def too_often(seconds: float) -> Fault:
    """Clients that look at the code try again by themselves; `seconds` is when (RFC 6585)."""
    code = "SoftLayer_Exception_WebService_RateLimitExceeded"
    wait = max(1, round(seconds))
    text = f"Too many requests: try again in {wait} seconds."
    return Fault(code, text, 429, {"Retry-After": str(wait)})
