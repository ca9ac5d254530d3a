"""Requirements that are kernel settings (https://docs.kernel.org/networking/ip-sysctl.html).

docs/operations.md has the settings as a file for sysctl.d, with the reason of each.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vpnportal.gateway.requirements.findings import Finding, at_risk, met, unmet

SYSCTLS = Path("/proc/sys")
CONNTRACK = "net.netfilter.nf_conntrack_"
# charon retransmits a request for 165 s, and asks the kernel to reserve SPIs for that time.
ACQUIRE_SECONDS = 165
# Flows of a concentrator with some hundred busy tunnels; the kernel needs 320 bytes for each.
MIN_FLOWS, FULL_PERCENT = 65_536, 80
# RFC 5382, REQ-5: an established connection is not forgotten earlier than after 2 hours 4 minutes.
MIN_ESTABLISHED_SECONDS = 7_440


def read_sysctl(name: str) -> int | None:
    """Return the value of a setting in this network namespace, or None if it does not exist."""
    try:
        return int(SYSCTLS.joinpath(*name.split(".")).read_text())
    except (OSError, ValueError):
        return None


def forwarding() -> Finding:
    """Check that the machine forwards packets on all of its interfaces."""
    closed = interfaces_with("forwarding", {0})
    if not read_sysctl("net.ipv4.ip_forward"):
        return unmet("forwarding", "The machine forwards no packets.", _set("net.ipv4.ip_forward"))
    if closed:
        text = f"Packets that arrive on {_listed(closed)} are not forwarded."
        return unmet("forwarding", text, _set(f"net.ipv4.conf.{closed[0]}.forwarding"))
    return met("forwarding", "The machine forwards packets.")


def reverse_path_filter() -> Finding:
    """Check that packets of servers may arrive over another link than the route back.

    The larger of the values for *all* and for the interface counts; 1 is strict, 2 is loose.
    """
    of_all = read_sysctl("net.ipv4.conf.all.rp_filter") or 0
    strict = [name for name in interfaces() if max(of_all, _of(name, "rp_filter")) == 1]
    if strict:
        text = (
            f"rp_filter is strict on {_listed(strict)}: packets of servers are dropped if they"
            " arrive over another link than the route back."
        )
        remedy = f"Set net.ipv4.conf.all.rp_filter and net.ipv4.conf.{strict[0]}.rp_filter to 2."
        return at_risk("rp_filter", text, remedy)
    return met("rp_filter", "Packets of servers may arrive over any hosted link.")


def marks_of_answers() -> Finding:
    """Check that ICMP errors and echo replies of the gateway get the mark of their tunnel."""
    if read_sysctl("net.ipv4.fwmark_reflect") != 1:
        text = (
            "The gateway's own ICMP errors and ping replies have no mark: they do not enter their"
            " tunnel, and servers do not learn the size of packets that fits into it."
        )
        return unmet("fwmark_reflect", text, _set("net.ipv4.fwmark_reflect"))
    return met("fwmark_reflect", "The gateway's own answers get the mark of their tunnel.")


def redirects() -> Finding:
    """Check that the gateway neither sends nor follows ICMP redirects.

    It sends them if *all* or the interface allows it. As a router, it follows them if both do.
    """
    send_all = read_sysctl("net.ipv4.conf.all.send_redirects")
    sending = [name for name in interfaces() if send_all or _of(name, "send_redirects")]
    accept_all = read_sysctl("net.ipv4.conf.all.accept_redirects")
    accepting = [name for name in interfaces() if accept_all and _of(name, "accept_redirects")]
    if sending:
        text = (
            f"The gateway sends ICMP redirects on {_listed(sending)}: a server may be redirected to"
            " a router that would forward its packets unencrypted."
        )
        return at_risk("redirects", text, _set("net.ipv4.conf.all.send_redirects", 0, sending[0]))
    if accepting:
        text = f"The gateway follows ICMP redirects that arrive on {_listed(accepting)}."
        return at_risk("redirects", text, _set("net.ipv4.conf.all.accept_redirects", 0))
    return met("redirects", "The gateway neither sends nor follows ICMP redirects.")


def encryption_enabled() -> Finding:
    """Check that no interface is exempt from IPsec."""
    for setting in ("disable_xfrm", "disable_policy"):
        exempt = interfaces_with(setting, {1})
        if exempt:
            text = f"{_listed(exempt)} is exempt from IPsec: {setting} is 1."
            return unmet("ipsec", text, _set(f"net.ipv4.conf.{exempt[0]}.{setting}", 0))
    return met("ipsec", "IPsec applies to all interfaces.")


def path_mtu_discovery() -> Finding:
    """Check that the gateway follows the MTU of the public path."""
    if read_sysctl("net.ipv4.ip_no_pmtu_disc"):
        text = "The gateway does not follow the MTU of the public path: large packets get lost."
        return unmet("pmtu", text, _set("net.ipv4.ip_no_pmtu_disc", 0))
    return met("pmtu", "The gateway follows the MTU of the public path.")


def reserved_spis() -> Finding:
    """Check that the kernel reserves SPIs as long as charon waits for a peer."""
    seconds = read_sysctl("net.core.xfrm_acq_expires")
    if seconds is None:
        text, remedy = "The kernel has no IPsec (XFRM).", "Use a kernel with CONFIG_XFRM_USER."
        return unmet("xfrm_acq_expires", text, remedy)
    if seconds < ACQUIRE_SECONDS:
        text = (
            f"The kernel frees an SPI after {seconds} s, while charon waits up to"
            f" {ACQUIRE_SECONDS} s for a slow peer: its tunnel would fail in the end."
        )
        return at_risk("xfrm_acq_expires", text, _set("net.core.xfrm_acq_expires", ACQUIRE_SECONDS))
    return met("xfrm_acq_expires", f"The kernel reserves SPIs for {seconds} s.")


def conntrack_size() -> Finding:
    """Check that the table of flows exists and is large enough for what the gateway carries."""
    count, limit = read_sysctl(CONNTRACK + "count"), read_sysctl(CONNTRACK + "max")
    if count is None or limit is None:
        text = "The kernel tracks no flows, so it can translate no address."
        return unmet("conntrack", text, "Load the module nf_conntrack, also at boot.")
    larger = f"Set {CONNTRACK}max to {max(4 * MIN_FLOWS, 2 * limit)}, outside of any container."
    if count * 100 > limit * FULL_PERCENT:
        text = f"The table of flows holds {count} of {limit}: new connections will be dropped."
        return unmet("conntrack", text, larger)
    if limit < MIN_FLOWS:
        text = f"The table of flows holds {limit} at most: more connections are dropped."
        return at_risk("conntrack", text, larger)
    return met("conntrack", f"The table of flows holds {count} of {limit}.")


def conntrack_timeouts() -> Finding:
    """Check that connections survive silence, and a move of their tunnel to this gateway."""
    loose = CONNTRACK + "tcp_loose"
    established = CONNTRACK + "tcp_timeout_established"
    if read_sysctl(loose) == 0:
        text = "Connections break when their tunnel moves here or conntrack has forgotten them."
        return at_risk("timeouts", text, _set(loose))
    seconds = read_sysctl(established)
    if seconds is not None and seconds < MIN_ESTABLISHED_SECONDS:
        text = f"A connection is forgotten after {seconds} s of silence (RFC 5382: 7,440 s)."
        return at_risk("timeouts", text, _set(established, 86_400))
    return met("timeouts", "Connections survive silence and a move of their tunnel.")


def interfaces() -> list[str]:
    """Return the names of the interfaces in this network namespace, without loopback."""
    names = (path.name for path in (SYSCTLS / "net/ipv4/conf").iterdir())
    return sorted(name for name in names if name not in ("all", "default", "lo"))


def interfaces_with(setting: str, values: Iterable[int]) -> list[str]:
    """Return the interfaces whose setting has one of the values."""
    return [name for name in interfaces() if _of(name, setting) in values]


def _of(interface: str, setting: str) -> int:
    """Return a setting of an interface; 0 if the interface was removed meanwhile."""
    try:
        return int((SYSCTLS / "net/ipv4/conf" / interface / setting).read_text())
    except OSError:
        return 0


def _listed(names: list[str]) -> str:
    return ", ".join(names)


def _set(name: str, value: int = 1, interface: str = "") -> str:
    also = f" and net.ipv4.conf.{interface}.{name.rpartition('.')[2]}" if interface else ""
    return f"Set {name}{also} to {value}."
