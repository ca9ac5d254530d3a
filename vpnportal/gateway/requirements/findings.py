"""Findings of a check of the gateway: whether a requirement is met, and the remedy if it is not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# The remedy if the kernel refuses to answer.
AS_WORKER = "Run this check as the worker's user."


class Level(StrEnum):
    """Met; met in part or at a risk; not met, so that tunnels do not carry what they should."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result for one requirement: a sentence, and for an unmet one the remedy."""

    requirement: str
    level: Level
    text: str
    remedy: str = ""


def met(requirement: str, text: str) -> Finding:
    """Return the finding that a requirement is met."""
    return Finding(requirement, Level.OK, text)


def at_risk(requirement: str, text: str, remedy: str) -> Finding:
    """Return the finding that tunnels work, but not in every case."""
    return Finding(requirement, Level.WARNING, text, remedy)


def unmet(requirement: str, text: str, remedy: str) -> Finding:
    """Return the finding that tunnels do not work, or not safely."""
    return Finding(requirement, Level.ERROR, text, remedy)
