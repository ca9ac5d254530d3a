"""The kernel's counters of ESP (https://docs.kernel.org/networking/xfrm_proc.html)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

XFRM_STATISTICS = Path("/proc/net/xfrm_stat")
POLICY_DROPS = ("XfrmInTmplMismatch", "XfrmInNoPols", "XfrmInPolBlock")


def read_policy_drops() -> int:
    """Return the number of decrypted packets dropped because no policy of their tunnel allows them.

    Returns 0 if the kernel has no XFRM statistics.
    """
    with suppress(OSError, ValueError):
        rows = dict(line.split() for line in XFRM_STATISTICS.read_text().splitlines())
        return sum(int(rows[name]) for name in POLICY_DROPS)
    return 0
