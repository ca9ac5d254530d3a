"""The data types of the old API: what of the portal's rows each property is.

Importing this package makes every one of them known to `shapes`.
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
