"""Checks of a gateway: its machine, charon's version, and what it holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from django.conf import settings

from vpnportal.domain.planning.plan import Plan
from vpnportal.gateway.requirements import all_requirements, ipsec
from vpnportal.gateway.requirements.findings import Finding, at_risk, met, unmet
from vpnportal.management.doctor.checks import ENABLE_WORKER, NO_NAME, unknown
from vpnportal.models import Concentrator
from vpnportal.reconciler.plan_preview import preview_plan

COMMAND_SECONDS = 8
# A gateway has the first, a laboratory the second.
CHARON_PACKAGES = ("charon-systemd", "strongswan-charon")
# An apply or a repair that runs at this moment has ended after this time.
LOOK_AGAIN_SECONDS = 3.0
MAX_NAMES = 10
# The step of each field of a plan.
VERBS = {
    "remove_leftovers": "remove the kernel's leftover of",
    "write_rules": "write the rules",
    "remove_interfaces": "close the hosted side to",
    "add_interfaces": "open the hosted side to",
    "tunnel_route_over": "add the route into tunnels over",
    "add_addresses": "add the address",
    "terminate_dialing": "terminate an SA of",
    "load_secrets": "load the preshared key of",
    "load_connections": "load the connection",
    "remove_routes": "stop announcing",
    "unload_connections": "unload the connection",
    "unload_secrets": "unload the preshared key",
    "terminate": "terminate an SA of",
    "remove_elements": "remove the translation",
    "add_elements": "add the translation",
    "end_flows": "end flows",
    "add_routes": "announce",
    "remove_addresses": "remove the address",
    "initiate": "initiate",
}


def concentrator() -> Iterator[Finding]:
    """Check that the database has the concentrator of this gateway."""
    name = settings.CONCENTRATOR
    if not name:
        yield unmet("concentrator", NO_NAME, ENABLE_WORKER)
    elif not Concentrator.objects.filter(name=name).exists():
        names = ", ".join(Concentrator.objects.order_by("name").values_list("name", flat=True))
        yield unmet(
            "concentrator",
            f"The database has no concentrator {name}; it has {names or 'none'}.",
            "Add it under Administration, or enable the units with the right name.",
        )
    else:
        yield met("concentrator", f"The database has the concentrator {name}.")


def requirements() -> Iterator[Finding]:
    """Check what `check_gateway` checks: kernel settings, charon, rules and routes."""
    for finding in all_requirements.check(settings.VICI_SOCKET, settings.HOSTED_INTERFACES):
        yield replace(finding, requirement=f"requirements/{finding.requirement}")


def charon_version() -> Iterator[Finding]:
    """Check the running charon against the installed package, and that against Debian's newest.

    apt's lists are read as they are: `apt-get update` may be due.
    """
    name, policy = "charon_version", _apt_policy()
    if policy is None:
        yield unknown(name, "apt-cache is absent or does not answer.")
        return
    package, installed, candidate = policy
    if not package:
        yield unknown(name, "charon is not from a package of Debian.")
        return
    running = ipsec.Charon.read(settings.VICI_SOCKET).version
    if installed != candidate:
        yield at_risk(
            name,
            f"{package} is {installed}, and Debian has {candidate}.",
            f"apt-get install --only-upgrade {package}; charon restarts, and its tunnels with it.",
        )
    elif running and not _is_of(running, installed):
        yield at_risk(
            name,
            f"charon {running} runs, and the package {package} is {installed}.",
            "systemctl restart strongswan, at a time when tunnels may be down for seconds.",
        )
    elif not running:
        yield unknown(name, "charon does not answer.", "systemctl restart strongswan")
    else:
        yield met(name, f"charon {running} runs, from {package} {installed}, Debian's newest.")


def _apt_policy() -> tuple[str, str, str] | None:
    """Return charon's package, its installed version and the candidate; "" without a package."""
    if shutil.which("apt-cache") is None:
        return None
    command = ("apt-cache", "policy", *CHARON_PACKAGES)
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_SECONDS, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    pattern = r"^(\S+):\n  Installed: (\S+)\n  Candidate: (\S+)$"
    for package, installed, candidate in re.findall(pattern, process.stdout, re.MULTILINE):
        if installed != "(none)":
            return package, installed, candidate
    return ("", "", "") if process.returncode == 0 else None


def _is_of(running: str, installed: str) -> bool:
    """Return True if strongSwan 5.9.8 runs, and a package such as 5.9.8-5+deb12u1 has it."""
    return installed.partition("-")[0].rpartition(":")[2] == running


def applied_state() -> Iterator[Finding]:
    """Check that charon and nftables hold what is applied, by the worker's own plan."""
    row = Concentrator.objects.get(name=settings.CONCENTRATOR)
    if plan := preview_plan(row):
        time.sleep(LOOK_AGAIN_SECONDS)
        plan = preview_plan(row)
    if not plan:
        yield met("applied_state", "charon and nftables hold all that is applied.")
        return
    steps = list(steps_of(plan))
    more = f", and {len(steps) - MAX_NAMES} more" if len(steps) > MAX_NAMES else ""
    yield unmet(
        "applied_state",
        f"A converge would {', '.join(steps[:MAX_NAMES])}{more}.",
        f"The worker does that within a minute. If it stays: journalctl -u "
        f"vpnportal-worker@{settings.CONCENTRATOR}",
    )


def steps_of(plan: Plan) -> Iterator[str]:
    """Yield each step of a plan as a verb and a name. Secrets have the name of their connection."""
    for step in fields(plan):
        value, verb = getattr(plan, step.name), VERBS[step.name]
        if value is True:
            yield verb
        elif isinstance(value, str) and value:
            yield f"{verb} {value}"
        elif value and not isinstance(value, bool):
            yield from (f"{verb} {_name_of(item)}" for item in value)


def _name_of(item: Any) -> str:
    """Return the name of an object of a plan. Its representation may have a secret."""
    for attribute in ("connection", "name"):
        if isinstance(name := getattr(item, attribute, None), str):
            return name
    if texts := getattr(item, "texts", None):
        return " to ".join(texts)
    if element := getattr(item, "element", None):
        return f"of {' to '.join(element.texts)}"
    return str(item)
