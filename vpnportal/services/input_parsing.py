"""Strict parsers of text from users and programs.

Every function raises ValueError, with a text that says which input is right.
"""

from __future__ import annotations

from datetime import date
from ipaddress import IPv4Address, IPv4Network
from unicodedata import category

from vpnportal.domain import addresses
from vpnportal.domain.tunnel.algorithms import KEYLIFE_SECONDS
from vpnportal.domain.tunnel.spec import DPD_SECONDS
from vpnportal.services.apply_draft import TRIAL_SECONDS
from vpnportal.services.key_rotation import DAYS_TEXT

NAME_CHARACTERS = 80
NOTES_CHARACTERS = 2_000
KEY_BYTES = 255
# Longer than any address, prefix length or number of seconds.
SHORT = 20
# Longer than an address with a netmask.
WITH_NETMASK = 36


def parse_name(text: str) -> str:
    """Parse one line of printable text. Programs use brackets to quote names."""
    text = text.strip(" ")
    if _has_control(text) or len(text) > NAME_CHARACTERS or set(text) & set("[]"):
        raise ValueError(
            f"Enter one line of printable text without [ and ], {NAME_CHARACTERS} characters "
            "at most."
        )
    return text


def parse_notes(text: str) -> str:
    """Parse lines of printable text. A browser ends lines with CR LF."""
    lines = [line.rstrip(" \t") for line in text.replace("\r\n", "\n").split("\n")]
    notes = "\n".join(lines).strip("\n")
    if len(notes) > NOTES_CHARACTERS:
        raise ValueError(
            f"Enter {NOTES_CHARACTERS:,} characters at most; these are {len(notes):,}."
        )
    if any(_has_control(line.replace("\t", " ")) for line in lines):
        raise ValueError("Enter lines of printable text, without control characters.")
    return notes


def parse_preshared_key(text: str) -> str:
    """Check a preshared key and return it unchanged, spaces included."""
    if _has_control(text):
        raise ValueError("Enter the key as one line, without control characters.")
    if len(text.encode()) > KEY_BYTES:
        raise ValueError(f"Enter a key of {KEY_BYTES} bytes at most.")
    return text


def parse_rotation_days(text: str) -> int:
    """Parse the number of days of a rotation of the preshared key."""
    return _number(text, DAYS_TEXT)


def parse_keylife(text: str) -> int:
    """Parse a key life in seconds."""
    low, high = KEYLIFE_SECONDS[0], KEYLIFE_SECONDS[-1]
    seconds = _number(text, f"Enter the key life in seconds: a number from {low} to {high}.")
    if seconds not in KEYLIFE_SECONDS:
        raise ValueError(f"Enter a key life from {low} to {high} seconds.")
    return seconds


def parse_trial_seconds(text: str) -> int:
    """Parse the health check timeout in seconds. `apply` checks its range."""
    low, high = TRIAL_SECONDS[0], TRIAL_SECONDS[-1]
    return _number(text, f"Enter a time from {low} to {high} seconds.")


def parse_dpd(text: str) -> int:
    """Parse DPD seconds, where 0 means off."""
    right = f"Enter 0, or a time from {DPD_SECONDS[0]} to {DPD_SECONDS[-1]} seconds."
    seconds = _number(text, right)
    if seconds and seconds not in DPD_SECONDS:
        raise ValueError(right)
    return seconds


def parse_day(text: str) -> date | None:
    """Parse a date in ISO 8601, as a browser's date input sends it; None if empty."""
    try:
        return date.fromisoformat(_short(text, "", SHORT)) if text.strip(" ") else None
    except ValueError:
        raise ValueError("Enter a date such as 2027-12-31, or leave it empty.") from None


def parse_address(text: str) -> IPv4Address | None:
    """Parse an IPv4 address; None if empty."""
    text = text.strip(" ")
    if not text:
        return None
    return addresses.parse_address(_short(text, "Enter an IPv4 address such as 192.168.10.15."))


def parse_peer(text: str) -> str | None:
    """Parse the IPv4 address of the customer's VPN device and return text; None if empty."""
    address = parse_address(text)
    if address and (objection := addresses.peer_objection(address)):
        raise ValueError(objection)
    return str(address) if address else None


def parse_subnet(ip: str, cidr: str) -> IPv4Network:
    """Parse a remote subnet from an address and a prefix length or netmask."""
    right = "Enter an IP address such as 192.168.10.0 and a CIDR such as 24."
    return addresses.parse_subnet(_short(ip, right, WITH_NETMASK), _short(cidr, right))


def _number(text: str, right: str) -> int:
    digits = text.strip(" ")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= SHORT):
        raise ValueError(right)
    return int(digits)


def _short(text: str, right: str, max_characters: int = SHORT) -> str:
    if _has_control(text) or len(text) > max_characters:
        raise ValueError(right)
    return text.strip(" ")


def _has_control(text: str) -> bool:
    """Return True for control, format, private, unpaired and line-breaking characters, and NUL."""
    # None of them is printable: most texts need no look at each character.
    return not text.isprintable() and any(
        category(c)[0] == "C" or category(c) in ("Zl", "Zp") for c in text
    )
