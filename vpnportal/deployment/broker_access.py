"""The users of Redis: the portal, and one for each gateway (Redis ACL, `ACL SETUSER`).

A gateway takes messages from the queue of its own concentrator, and adds messages to all queues: a
tunnel that moves concerns two concentrators. It sees nothing else. A message contains row ids only.
"""

from __future__ import annotations

from hashlib import sha256

PORTAL_USER = "portal"


def portal_acl(password: str) -> str:
    """Return the line of the portal's user in the ACL file.

    It holds the SHA-256 hash of the password, which must be long and random.
    """
    return f"user {PORTAL_USER} on {_hash(password)} ~* &* +@all -@admin -@dangerous +info"


def gateway_acl(concentrator: str, password: str) -> str:
    """Return the line of a gateway's user, with what Celery's worker needs (kombu's Redis keys)."""
    queue = f"concentrator.{concentrator}"
    own_keys = f"~{queue} ~unacked.{concentrator} ~unacked_index.{concentrator}"
    own_keys += f" ~unacked_mutex.{concentrator} ~_kombu.binding*.{queue}"
    commands = "-@all +@read +@write +@connection +@transaction +@scripting -@dangerous +info"
    commands += " -scan -randomkey -dbsize"
    # Celery announces its worker on this channel, and asks for the queues of an exchange.
    channels = "resetchannels &/0.celeryev/worker.* +publish"
    others = "(-@all +llen +lpush +sadd +smembers ~concentrator.* ~_kombu.binding*.concentrator.*)"
    user = gateway_user(concentrator)
    return f"user {user} on {_hash(password)} {own_keys} {channels} {commands} {others}"


def gateway_user(concentrator: str) -> str:
    """Return the name of a gateway's user in Redis and PostgreSQL, such as gw_hou02-vpn01."""
    return f"gw_{concentrator}"


def _hash(password: str) -> str:
    return "#" + sha256(password.encode()).hexdigest()
