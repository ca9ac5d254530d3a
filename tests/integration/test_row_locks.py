"""Row locks: one order for all transactions, held by one module."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import transaction

import vpnportal
from vpnportal.models import Revision, Tunnel
from vpnportal.models.row_locks import (
    LockOrderError,
    lock_account,
    lock_concentrator,
    lock_concentrators,
    lock_revisions,
    lock_tunnel,
    lock_tunnels,
)

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def test_a_lock_after_one_that_comes_later_is_an_error(ready, second_tunnel):
    with transaction.atomic():
        lock_account(ready.account_id)
        lock_tunnel(ready.pk)
        lock_tunnel(second_tunnel.pk)
        lock_concentrators()
        # What is held already may be locked again.
        lock_tunnel(ready.pk)
    with transaction.atomic():
        lock_concentrator(ready.concentrator_id)
        with pytest.raises(LockOrderError, match=f"TUNNEL {ready.pk} is locked after CONCENTRATOR"):
            lock_tunnel(ready.pk)
    with transaction.atomic():
        lock_tunnel(second_tunnel.pk)
        with pytest.raises(LockOrderError, match=f"after TUNNEL {second_tunnel.pk}"):
            lock_tunnels(Tunnel.objects.all())


def test_the_order_begins_again_with_each_transaction(ready):
    for _ in range(2):
        with pytest.raises(RuntimeError), transaction.atomic():
            lock_tunnel(ready.pk)
            lock_revisions(Revision.objects.all())
            raise RuntimeError


@pytest.mark.django_db(transaction=True)
def test_a_lock_without_a_transaction_is_an_error(ready):
    with pytest.raises(LockOrderError, match="there is none"):
        lock_tunnel(ready.pk)


def test_no_other_module_locks_rows():
    package = Path(vpnportal.__file__).parent
    modules = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if "select_for_update" in file.read_text()
    }

    # These two lock rows that no other transaction locks.
    alone = {"management/seal_keys.py", "services/sign_in_limits.py"}
    assert modules == {"models/row_locks.py"} | alone


def test_a_transaction_is_a_block_of_its_own():
    # As a decorator, one `atomic` object serves all calls and threads, and locks seem still held.
    package = Path(vpnportal.__file__).parent
    decorated = [
        file for file in package.rglob("*.py") if "@transaction.atomic" in file.read_text()
    ]

    assert not decorated
