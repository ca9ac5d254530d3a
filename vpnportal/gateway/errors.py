"""Errors of the gateway package; pages and logs show their texts."""

from __future__ import annotations


class GatewayError(Exception):
    """Failure to observe or to change a gateway; the text is the reason.

    The change may be complete, partial or missing: observe again.
    """


class GatewayRefused(GatewayError):
    """Refusal of a request by charon, which changed nothing; the text is charon's reason."""
