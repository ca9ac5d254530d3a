"""The users of Redis: the portal, the signer, and one for each gateway (Redis ACL, `ACL SETUSER`).

A gateway takes messages from the queue of its own concentrator, and adds messages to all queues: a
tunnel that moves concerns two concentrators. It sees nothing else. A message contains row ids only.
"""

from __future__ import annotations

from hashlib import sha256

PORTAL_USER = "portal"
# The signer makes and removes the users of gateways. Root reads a renewed certificate in.
SIGNER_USER, CERTIFICATES_USER = "enrolment", "certificates"


def portal_acl(password: str) -> str:
    """Return the line of the portal's user in the ACL file.

    It holds the SHA-256 hash of the password, which must be long and random.
    """
    return f"user {PORTAL_USER} on #{digest(password)} ~* &* +@all -@admin -@dangerous +info"


def signer_acl(password: str) -> str:
    """Return the line of the signer's user in the ACL file, who may change every user."""
    commands = "-@all +acl|setuser +acl|deluser +acl|save +client|kill"
    return f"user {SIGNER_USER} on #{digest(password)} resetchannels {commands}"


def certificates_acl(password: str) -> str:
    """Return the line of the user who tells Redis to read its certificate again."""
    return f"user {CERTIFICATES_USER} on #{digest(password)} resetchannels -@all +config|set"


def gateway_acl(concentrator: str, password: str) -> str:
    """Return the line of a gateway's user in the ACL file."""
    rules = " ".join(gateway_rules(concentrator, digest(password)))
    return f"user {gateway_user(concentrator)} {rules}"


def gateway_rules(concentrator: str, password_digest: str) -> list[str]:
    """Return the rules of a gateway's user: what Celery's worker needs (kombu's Redis keys)."""
    queue = f"concentrator.{concentrator}"
    own_keys = f"~{queue} ~unacked.{concentrator} ~unacked_index.{concentrator}"
    own_keys += f" ~unacked_mutex.{concentrator} ~_kombu.binding*.{queue}"
    commands = "-@all +@read +@write +@connection +@transaction +@scripting -@dangerous +info"
    commands += " -scan -randomkey -dbsize"
    # Celery announces its worker on this channel, and asks for the queues of an exchange.
    channels = "resetchannels &/0.celeryev/worker.* +publish"
    others = "(-@all +llen +lpush +sadd +smembers ~concentrator.* ~_kombu.binding*.concentrator.*)"
    rules = f"on #{password_digest} {own_keys} {channels} {commands}"
    return [*rules.split(), others]


def gateway_user(concentrator: str) -> str:
    """Return the name of a gateway's user in Redis and PostgreSQL, such as gw_hou02-vpn01."""
    return f"gw_{concentrator}"


def digest(password: str) -> str:
    """Return the SHA-256 of a password in hex, as the ACL file has it."""
    return sha256(password.encode()).hexdigest()
