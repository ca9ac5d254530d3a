"""Data types of the old API: the portal's row or constant behind each property.

Importing the package registers all of them in `serializers.DATA_TYPES`.
"""

from vpnportal.api.types import (  # noqa: F401
    accounts,
    addresses,
    billing,
    contexts,
    customer_subnets,
    locations,
    products,
    subnets,
    transactions,
    translations,
    users,
)
