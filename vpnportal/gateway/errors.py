"""The two ways in which a concentrator says no."""

from __future__ import annotations


class GatewayError(Exception):
    """The concentrator could not be seen or changed; the text says why, for people.

    Whether anything was changed is not known: looking again is always right.
    """


class GatewayRefused(GatewayError):
    """The concentrator looked at what it was given and said no; nothing of it was taken."""
