"""The kernel's counters of IPsec (https://docs.kernel.org/networking/xfrm_proc.html).

They count since boot. XfrmInTmplMismatch also counts unencrypted packets that a policy wants
encrypted: clear text that arrives with a customer's address.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

XFRM_STATISTICS = Path("/proc/net/xfrm_stat")
POLICY_DROPS = ("XfrmInTmplMismatch", "XfrmInNoPols", "XfrmInPolBlock")


def read_policy_drops() -> int:
    """Return the number of arriving packets that the IPsec policies refused.

    Returns 0 if the kernel has no XFRM statistics.
    """
    with suppress(OSError, ValueError):
        rows = dict(line.split() for line in XFRM_STATISTICS.read_text().splitlines())
        return sum(int(rows[name]) for name in POLICY_DROPS)
    return 0
