"""Programs of the system that the commands of root call, and the sentence when one fails."""

from __future__ import annotations

import subprocess

from vpnportal.root_commands.output import Failure

SECONDS = 600
VPNPORTAL = "/usr/sbin/vpnportal"

# The services of the portal that use settings, keys and the certificate for Redis.
PORTAL_SERVICES = ("vpnportal-web", "vpnportal-beat", "vpnportal-tasks")


def run(*words: str, text: str = "") -> str:
    """Run a program with the input `text`, and return its output. Raises Failure."""
    try:
        done = subprocess.run(
            words, input=text, capture_output=True, text=True, timeout=SECONDS, cwd="/"
        )
    except FileNotFoundError:
        raise Failure(f"There is no program {words[0]}: install its Debian package.") from None
    except subprocess.TimeoutExpired:
        raise Failure(f"{words[0]} did not end within {SECONDS} s.") from None
    if done.returncode:
        raise Failure(_reason(words, done.stderr.strip() or done.stdout.strip()))
    return done.stdout


def systemctl(*words: str) -> str:
    """Run systemctl. Raises Failure."""
    return run("systemctl", "--quiet", *words)


def is_active(unit: str) -> bool:
    """Return True if a unit runs."""
    done = subprocess.run(("systemctl", "is-active", "--quiet", unit), capture_output=True)
    return done.returncode == 0


def manage(*words: str) -> str:
    """Run a command of `manage.py` as the portal's user, with its keys. Raises Failure."""
    return run(VPNPORTAL, *words)


def _reason(words: tuple[str, ...], text: str) -> str:
    last = text.splitlines()[-1] if text else "it says no reason."
    last = last.removeprefix("CommandError: ")
    return last if words[0] == VPNPORTAL else f"{' '.join(words[:3])}: {last}"


def output_of(*words: str) -> str:
    """Return the output of a program, whatever its status is."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, cwd="/")
    return done.stdout
