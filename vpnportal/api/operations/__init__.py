"""The methods of the old API. Importing this package makes every service known to `methods`."""

from vpnportal.api import types  # noqa: F401
from vpnportal.api.methods import SERVICES
from vpnportal.api.operations import (  # noqa: F401
    accounts,
    billing,
    context_subnets,
    context_texts,
    context_translations,
    contexts,
    customer_subnets,
    locations,
    options,
    orders,
    packages,
    subnets,
    users,
)

__all__ = ["SERVICES"]
