"""Whose key it is: what `slcli config setup` asks, and what it may not have."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.django_db
USER = "SoftLayer_User_Customer"


def test_a_program_is_told_whose_key_it_has(program, user, account):
    shown = program.call("SoftLayer_Account.getCurrentUser", mask="mask[id,username,account]")

    assert shown == {
        "id": user.pk,
        "username": "ada",
        "account": {"id": account.pk, "companyName": "Example account"},
    }
    assert program.call(f"{USER}.getObject", on=str(user.pk))["username"] == "ada"


def test_nobody_else_is_told(program, bob):
    assert program.fault(f"{USER}.getObject", on=bob.pk).status == 404


def test_keys_are_neither_shown_nor_made(program, user):
    mask = "mask[id, apiAuthenticationKeys]"

    shown = program.call("SoftLayer_Account.getCurrentUser", mask=mask)
    fault = program.fault(f"{USER}.addApiAuthenticationKey", on=user.pk)

    assert shown == {"id": user.pk, "apiAuthenticationKeys": []}
    assert fault.code == "SoftLayer_Exception_NotImplemented"
    assert "on the page Accounts" in fault.text
    assert not user.api_keys.exists()


def test_passwords_are_not_taken(program):
    fault = program.fault(f"{USER}.getPortalLoginToken", "ada", "a password for the tests")

    assert fault.code == "SoftLayer_Exception_NotImplemented"
    assert "a password for the tests" not in fault.text
