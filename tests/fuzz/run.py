"""So many requests, through the whole of Django and into a database that forgets each batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from django.db import transaction
from django.http import HttpResponse
from django.test import Client

from tests.fuzz.judging import Findings
from tests.fuzz.requests import Requests, Sent
from tests.fuzz.world import World, of_the_other
from vpnportal.api import authentication
from vpnportal.api.rate_limit import TokenBuckets

BATCH = 100
Send = Callable[[Sent], HttpResponse]


def run_served(world: World, count: int, seed: int, send: Send) -> Findings:
    """Whatever the requests do stays done."""
    findings, requests = Findings(), Requests(world, seed)
    _batch(world, requests, range(count), send, findings)
    return findings


def run(world: World, count: int, seed: int) -> Findings:
    """Nothing of it stays in the database, and nobody is asked to converge."""
    findings, requests = Findings(), Requests(world, seed)
    authentication.CALLS = TokenBuckets(1e9, 1e9)
    send = partial(_send, Client(raise_request_exception=False))
    for start in range(0, count, BATCH):
        authentication.WRONG_KEYS.clear()
        with transaction.atomic():
            numbers = range(start, min(start + BATCH, count))
            _batch(world, requests, numbers, send, findings)
            transaction.set_rollback(True)
    return findings


def _batch(
    world: World, requests: Requests, numbers: range, send: Send, findings: Findings
) -> None:
    before = of_the_other(world)
    for _ in numbers:
        _try(send, requests.one(), findings)
    if of_the_other(world) != before:
        found = ("something of the other account was changed", sent_none(numbers.start))
        findings.found.append(found)


def sent_none(start: int) -> Sent:
    """Stands for a whole batch."""
    return Sent("batch", str(start), "", b"")


def _try(send: Send, sent: Sent, findings: Findings) -> None:
    began = time.perf_counter()
    answer = send(sent)
    findings.judge(sent, answer, time.perf_counter() - began)


def _send(client: Client, sent: Sent) -> HttpResponse:
    """The test client takes a path apart as a server does, but for what is no URL at all."""
    return client.generic(
        sent.verb,
        sent.target,
        sent.body,
        content_type="application/json",
        headers=sent.headers,
        QUERY_STRING=sent.query,
    )
