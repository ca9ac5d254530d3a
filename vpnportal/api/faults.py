"""What the old API said no with: a code, a text, and REST's status. Both doors write these down."""

from __future__ import annotations


class Fault(Exception):
    """`code` is the name of a SoftLayer exception or a number of XML-RPC; clients look at it."""

    def __init__(self, code: str, text: str, status: int = 500) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status


def not_found(what: object) -> Fault:
    """Also for what is somebody else's, or not for this key's role: nobody can tell the three."""
    text = f"Unable to find object with id of '{what}'."
    return Fault("SoftLayer_Exception_ObjectNotFound", text, 404)


def public(text: str, status: int = 500) -> Fault:
    """The general one: unknown services and methods, locks, refusals."""
    return Fault("SoftLayer_Exception_Public", text, status)


def invalid(text: str) -> Fault:
    """A value that cannot be."""
    return Fault("SoftLayer_Exception_InvalidValue", text, 400)
