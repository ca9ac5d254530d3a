"""Sizes, rates and counts as text, in powers of ten and without needless digits."""

from __future__ import annotations

SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB")
RATES = ("bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", "Pbit/s")


def size(count: int) -> str:
    """Return bytes as text, such as "1.2 GB"."""
    return "1 byte" if count == 1 else _scaled(count, SIZES)


def rate(count: int, seconds: int) -> str:
    """Return bytes per time as bits per second: 30,000,000 bytes in 60 seconds are "4 Mbit/s"."""
    return _scaled(count * 8 / seconds, RATES)


def packets(count: int) -> str:
    """Return a count such as "12,345 packets"."""
    return "1 packet" if count == 1 else f"{count:,} packets"


def _scaled(number: float, units: tuple[str, ...]) -> str:
    if round(number) < 1000:
        return f"{round(number)} {units[0]}"
    for unit in units[1:-1]:
        number /= 1000
        # 999.5 rounds to 1000, which is 1 of the next unit.
        if number < 999.5:
            return f"{_digits(number)} {unit}"
    return f"{_digits(number / 1000)} {units[-1]}"


def _digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 9.95 else f"{number:.1f}".removesuffix(".0")
