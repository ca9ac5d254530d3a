"""SoftLayer_User_Customer: the user of the key, as `slcli config setup` requests it."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.django_db
USER = "SoftLayer_User_Customer"


def test_a_program_can_read_the_user_of_its_key(program, user, account):
    user_struct = program.call("SoftLayer_Account.getCurrentUser", mask="mask[id,username,account]")

    assert user_struct == {
        "id": user.pk,
        "username": "ada",
        "account": {"id": account.pk, "companyName": "Example account"},
    }
    assert program.call(f"{USER}.getObject", on=str(user.pk))["username"] == "ada"


def test_another_user_is_not_found(program, bob):
    assert program.fault(f"{USER}.getObject", on=bob.pk).status == 404


def test_the_api_neither_lists_nor_creates_keys(program, user):
    mask = "mask[id, apiAuthenticationKeys]"

    user_struct = program.call("SoftLayer_Account.getCurrentUser", mask=mask)
    fault = program.fault(f"{USER}.addApiAuthenticationKey", on=user.pk)

    assert user_struct == {"id": user.pk, "apiAuthenticationKeys": []}
    assert fault.code == "SoftLayer_Exception_NotImplemented"
    assert "on the page Accounts" in fault.text
    assert not user.api_keys.exists()


def test_a_password_is_refused_and_not_repeated(program):
    fault = program.fault(f"{USER}.getPortalLoginToken", "ada", "a password for the tests")

    assert fault.code == "SoftLayer_Exception_NotImplemented"
    assert "a password for the tests" not in fault.text
