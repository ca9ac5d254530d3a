"""What somebody typed or sent, read strictly: a value, or a ValueError that says what is right."""

from __future__ import annotations

from datetime import date
from ipaddress import IPv4Address, IPv4Network
from unicodedata import category

from vpnportal.domain import addresses
from vpnportal.domain.tunnel.algorithms import KEYLIFE_SECONDS
from vpnportal.domain.tunnel.spec import DPD_SECONDS
from vpnportal.services.apply_draft import TRIAL_SECONDS

NAME_CHARACTERS = 80
NOTES_CHARACTERS = 2_000
KEY_BYTES = 255
# Longer than any address, prefix length or number of seconds, and than an address with a netmask.
SHORT, WITH_NETMASK = 20, 36


def name(text: str) -> str:
    """One line of printable text; brackets are left to the programs that quote names."""
    text = text.strip(" ")
    if _has_control(text) or len(text) > NAME_CHARACTERS or set(text) & set("[]"):
        raise ValueError(
            f"Enter one line of printable text without [ and ], {NAME_CHARACTERS} characters "
            "at most."
        )
    return text


def notes(text: str) -> str:
    """Lines of printable text; a browser sends their ends as CR LF."""
    lines = [line.rstrip(" \t") for line in text.replace("\r\n", "\n").split("\n")]
    kept = "\n".join(lines).strip("\n")
    if len(kept) > NOTES_CHARACTERS:
        raise ValueError(f"Enter {NOTES_CHARACTERS:,} characters at most; these are {len(kept):,}.")
    if any(_has_control(line.replace("\t", " ")) for line in lines):
        raise ValueError("Enter lines of printable text, without control characters.")
    return kept


def preshared_key(text: str) -> str:
    """The key exactly as typed, blanks included."""
    if _has_control(text):
        raise ValueError("Enter the key as one line, without control characters.")
    if len(text.encode()) > KEY_BYTES:
        raise ValueError(f"Enter a key of {KEY_BYTES} bytes at most.")
    return text


def keylife(text: str) -> int:
    """Seconds."""
    low, high = KEYLIFE_SECONDS[0], KEYLIFE_SECONDS[-1]
    digits = text.strip(" ")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= SHORT):
        raise ValueError(f"Enter the key life in seconds: a number from {low} to {high}.")
    if int(digits) not in KEYLIFE_SECONDS:
        raise ValueError(f"Enter a key life from {low} to {high} seconds.")
    return int(digits)


def trial_seconds(text: str) -> int:
    """How long a revision may take to be healthy, in seconds."""
    digits = text.strip(" ")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= SHORT):
        low, high = TRIAL_SECONDS[0], TRIAL_SECONDS[-1]
        raise ValueError(f"Enter a time from {low} to {high} seconds.")
    return int(digits)


def dpd(text: str) -> int:
    """Seconds, or 0."""
    right = f"Enter 0, or a time from {DPD_SECONDS[0]} to {DPD_SECONDS[-1]} seconds."
    digits = text.strip(" ")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= SHORT):
        raise ValueError(right)
    if int(digits) and int(digits) not in DPD_SECONDS:
        raise ValueError(right)
    return int(digits)


def day(text: str) -> date | None:
    """As a browser's picker sends it (ISO 8601); nothing typed is none."""
    try:
        return date.fromisoformat(_short(text, "", SHORT)) if text.strip(" ") else None
    except ValueError:
        raise ValueError("Enter a day such as 2027-12-31, or leave it empty.") from None


def address(text: str) -> IPv4Address | None:
    """An IPv4 address; nothing typed is none."""
    text = text.strip(" ")
    if not text:
        return None
    return addresses.parse_address(_short(text, "Enter an IPv4 address such as 192.168.10.15."))


def peer(text: str) -> str | None:
    """The address of the customer's VPN device as the draft keeps it."""
    found = address(text)
    if found and (objection := addresses.peer_objection(found)):
        raise ValueError(objection)
    return str(found) if found else None


def subnet(ip: str, cidr: str) -> IPv4Network:
    """A network at the customer's end from its two inputs."""
    right = "Enter an IP address such as 192.168.10.0 and a CIDR such as 24."
    return addresses.parse_subnet(_short(ip, right, WITH_NETMASK), _short(cidr, right))


def _short(text: str, right: str, most: int = SHORT) -> str:
    if _has_control(text) or len(text) > most:
        raise ValueError(right)
    return text.strip(" ")


def _has_control(text: str) -> bool:
    """Control, format, private, unpaired and line-breaking characters, NUL among them."""
    return any(category(c)[0] == "C" or category(c) in ("Zl", "Zp") for c in text)
