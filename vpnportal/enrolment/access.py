"""The rights of gateways in PostgreSQL and Redis, given and ended with those of the signer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import redis

from vpnportal.deployment.broker_access import gateway_rules, gateway_user
from vpnportal.enrolment.role_functions import SCHEMA
from vpnportal.enrolment.signer import CannotGive

SECONDS = 5


@dataclass(frozen=True, slots=True)
class Access:
    """Access as the signer's own role and user. The files are in PEM; "" for none.

    `tls` has the certificate and the key of a client of the broker.
    """

    database: str
    broker: str
    tls: str = ""
    authority: str = ""

    def give(self, name: str, verifier: str, broker_digest: str) -> None:
        """Let a gateway sign in with new passwords, and end the sessions of the earlier ones."""
        user = gateway_user(name)
        with self._database() as database:
            _call(database, "make_role(%s, %s)", name, verifier)
            _call(database, "end_sessions(%s)", name)
        with self._broker() as broker:
            rules = gateway_rules(name, broker_digest)
            broker.execute_command("ACL", "SETUSER", user, "reset", *rules)
            broker.execute_command("ACL", "SAVE")
            broker.execute_command("CLIENT", "KILL", "USER", user)

    def end(self, name: str) -> None:
        """End the rights of a gateway and its sessions. Each part is tried, also after an error."""
        errors = []
        for part in (self._end_in_database, self._end_in_broker):
            try:
                part(name)
            except CannotGive as error:
                errors.append(str(error))
        if errors:
            raise CannotGive(" ".join(errors))

    def _end_in_database(self, name: str) -> None:
        with self._database() as database:
            for function in ("close_role", "end_sessions", "drop_role"):
                _call(database, f"{function}(%s)", name)

    def _end_in_broker(self, name: str) -> None:
        with self._broker() as broker:
            # It ends the connections of the user, too.
            broker.execute_command("ACL", "DELUSER", gateway_user(name))
            broker.execute_command("ACL", "SAVE")

    @contextmanager
    def _database(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            with psycopg.connect(self.database, autocommit=True, connect_timeout=SECONDS) as opened:
                opened.execute(f"SET statement_timeout = '{SECONDS}s'")
                yield opened
        except psycopg.Error as error:
            text = " ".join(str(error).split())
            raise CannotGive(f"PostgreSQL did not change the role of the gateway: {text}") from None

    @contextmanager
    def _broker(self) -> Iterator[redis.Redis]:
        options: dict[str, Any] = {"socket_timeout": SECONDS, "socket_connect_timeout": SECONDS}
        if self.broker.startswith("rediss:"):
            options |= {"ssl_certfile": self.tls or None, "ssl_keyfile": self.tls or None}
            options |= {"ssl_ca_certs": self.authority or None}
        try:
            with redis.Redis.from_url(self.broker, **options) as client:
                yield client
        except (redis.RedisError, OSError) as error:
            raise CannotGive(f"Redis did not change the user of the gateway: {error}") from None


def _call(database: psycopg.Connection[Any], function: str, *values: str) -> None:
    # Each call is a transaction of its own.
    query = f"SELECT {SCHEMA}.{function}"
    database.execute(query.encode(), values)
