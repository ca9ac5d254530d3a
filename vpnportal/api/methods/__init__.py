"""Methods of the old API, in modules by service.

Importing the package registers all of them in `registry.SERVICES`.
"""

from vpnportal.api import types  # noqa: F401
from vpnportal.api.methods import (  # noqa: F401
    accounts,
    billing,
    context_exports,
    context_options,
    context_subnets,
    context_translations,
    contexts,
    customer_subnets,
    locations,
    orders,
    packages,
    subnets,
    users,
)
from vpnportal.api.registry import SERVICES

__all__ = ["SERVICES"]
