"""Runs of malformed requests, in this process with a rollback, or through a server."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from django.db import transaction
from django.http import HttpResponse
from django.test import Client

from tests.fuzz.findings import Findings
from tests.fuzz.malformed_requests import Request, Requests
from tests.fuzz.sample_accounts import SampleAccounts, rows_of_other_account
from vpnportal.api import authentication
from vpnportal.rate_limit import TokenBuckets

BATCH = 100
Send = Callable[[Request], HttpResponse]


def run_served(accounts: SampleAccounts, count: int, seed: int, send: Send) -> Findings:
    """Send requests with `send`, without a rollback."""
    findings, requests = Findings(), Requests(accounts, seed)
    _batch(accounts, requests, range(count), send, findings)
    return findings


def run(accounts: SampleAccounts, count: int, seed: int) -> Findings:
    """Send requests through Django, and roll each batch back; no message is sent to a worker."""
    findings, requests = Findings(), Requests(accounts, seed)
    authentication.CALLS = authentication.WRONG_KEYS = TokenBuckets(1e9, 1e9)
    authentication.ACCEPTED_ADDRESSES = authentication.CALLS
    send = partial(_send, Client(raise_request_exception=False))
    for start in range(0, count, BATCH):
        with transaction.atomic():
            numbers = range(start, min(start + BATCH, count))
            _batch(accounts, requests, numbers, send, findings)
            transaction.set_rollback(True)
    return findings


def _batch(
    accounts: SampleAccounts, requests: Requests, numbers: range, send: Send, findings: Findings
) -> None:
    before = rows_of_other_account(accounts)
    for _ in numbers:
        _try(send, requests.next(), findings)
    if rows_of_other_account(accounts) != before:
        # No single request is known to be the cause.
        batch = Request("batch", str(numbers.start), "", b"")
        findings.failures.append(("a row of the other account was changed", batch))


def _try(send: Send, request: Request, findings: Findings) -> None:
    began = time.perf_counter()
    response = send(request)
    findings.add(request, response, time.perf_counter() - began)


def _send(client: Client, request: Request) -> HttpResponse:
    return client.generic(
        request.verb,
        request.target,
        request.body,
        content_type="application/json",
        headers=request.headers,
        QUERY_STRING=request.query,
    )
