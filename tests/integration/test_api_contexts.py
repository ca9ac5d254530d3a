"""Contexts of the legacy API: read with masks, edited by templates, applied."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from tests.api_client import CONTEXT, filter_by_id
from vpnportal import services
from vpnportal.api.methods import SERVICES
from vpnportal.models import KeyReveal, LastEdit, Revision, Subnet, Tunnel

pytestmark = pytest.mark.django_db
LIST = "SoftLayer_Account.getNetworkTunnelContexts"
METHODS = """
getObject editObject applyConfigurationsToDevice addPrivateSubnetToNetworkTunnel
removePrivateSubnetFromNetworkTunnel addCustomerSubnetToNetworkTunnel
removeCustomerSubnetFromNetworkTunnel addServiceSubnetToNetworkTunnel
removeServiceSubnetFromNetworkTunnel createAddressTranslation createAddressTranslations
editAddressTranslation editAddressTranslations deleteAddressTranslation getAccount
getBillingItem getDatacenter getAddressTranslations getAllAvailableServiceSubnets
getCustomerSubnets getInternalSubnets getServiceSubnets getStaticRouteSubnets
getActiveTransaction getTransactionHistory getAddressTranslationConfigurations
getParameterConfigurationsForCustomerView downloadAddressTranslationConfigurations
downloadParameterConfigurations getAuthenticationDefault getAuthenticationOptions
getEncryptionDefault getEncryptionOptions getDiffieHellmanGroupDefault
getDiffieHellmanGroupOptions getKeylifeLimits getPhaseOneKeylifeDefault
getPhaseTwoKeylifeDefault
"""


def edited_fields(tunnel: Tunnel) -> set[str]:
    return set(LastEdit.objects.filter(tunnel=tunnel).values_list("field", flat=True))


def test_a_context_has_the_38_methods_of_the_reference():
    assert sorted(SERVICES[CONTEXT].methods) == sorted(METHODS.split())
    assert len(METHODS.split()) == 38


def test_a_context_shows_the_draft(ready, program):
    struct = program.call("getObject", on=ready.pk)

    assert struct.pop("modifyDate").endswith("+00:00")
    assert struct == {
        "id": ready.pk,
        "accountId": ready.account_id,
        "name": "ipsec001",
        "friendlyName": "",
        "internalPeerIpAddress": "203.0.113.1",
        "customerPeerIpAddress": "203.0.113.2",
        "advancedConfigurationFlag": 0,
        "phaseOneAuthentication": "MD5",
        "phaseOneEncryption": "3DES",
        "phaseOneDiffieHellmanGroup": 2,
        "phaseOneKeylife": 14400,
        "phaseTwoAuthentication": "MD5",
        "phaseTwoEncryption": "3DES",
        "phaseTwoDiffieHellmanGroup": 2,
        "phaseTwoKeylife": 3600,
        "phaseTwoPerfectForwardSecrecy": 1,
    }


def test_a_mask_with_only_relations_returns_all_local_properties(ready, program):
    mask = "mask[billingItem.orderItem.order.id,serviceSubnets,staticRouteSubnets]"

    struct = program.call("getObject", on=str(ready.pk), mask=mask)

    assert (struct["name"], struct["phaseTwoKeylife"]) == ("ipsec001", 3600)
    assert struct["billingItem"]["orderItem"]["order"] == {"id": ready.pk}
    assert struct["serviceSubnets"] == []
    assert struct["staticRouteSubnets"][0]["networkIdentifier"] == "10.1.255.92"
    assert "addressTranslations" not in struct


def test_the_address_records_of_a_translation_have_their_subnets(ready, program):
    mask = "mask[addressTranslations[internalIpAddressRecord,customerIpAddressRecord[subnet]]]"

    (row,) = program.call("getObject", on=ready.pk, mask=mask)["addressTranslations"]

    assert (row["internalIpAddress"], row["customerIpAddress"]) == ("10.1.255.92", "192.168.10.15")
    assert (row["internalIpAddressId"], row["customerIpAddressId"]) == (167903068, -1062729201)
    assert row["notes"] == "database"
    assert row["internalIpAddressRecord"]["ipAddress"] == "10.1.255.92"
    assert row["customerIpAddressRecord"]["id"] == row["customerIpAddressId"]
    assert row["customerIpAddressRecord"]["subnet"]["networkIdentifier"] == "192.168.10.0"


def test_edit_object_changes_only_the_properties_of_the_template(ready, program):
    before = program.call("getObject", on=ready.pk)
    LastEdit.objects.all().delete()
    template = {
        "id": 4711,
        "accountId": 4712,
        "name": "ipsec666",
        "internalPeerIpAddress": "198.51.100.1",
        "advancedConfigurationFlag": 1,
        "billingItem": {"id": 4713},
        "friendlyName": "new name",
        "phaseOneDiffieHellmanGroup": "5",
        "phaseOneKeylife": 28800,
        "phaseTwoPerfectForwardSecrecy": "0",
        "phaseTwoEncryption": "AES256-GCM",
    }

    assert program.call("editObject", template, on=ready.pk) is True

    after = program.call("getObject", on=ready.pk)
    del before["modifyDate"], after["modifyDate"]
    assert {name: value for name, value in after.items() if before[name] != value} == {
        "friendlyName": "new name",
        "phaseOneDiffieHellmanGroup": 5,
        "phaseOneKeylife": 28800,
        "phaseTwoPerfectForwardSecrecy": 0,
        "phaseTwoEncryption": "AES256-GCM",
    }
    assert edited_fields(ready) == {
        "friendly_name",
        "phase_one_group",
        "phase_one_keylife",
        "phase_two_pfs",
        "phase_two_encryption",
    }


@pytest.mark.parametrize("fixture", ["program", "owners_program"])
def test_sending_back_a_reply_edits_nothing(ready, request, fixture):
    program = request.getfixturevalue(fixture)
    (struct,) = program.call(LIST, filter=filter_by_id(ready))
    before = Tunnel.objects.filter(pk=ready.pk).values().get()
    LastEdit.objects.all().delete()

    assert program.call("editObject", struct, on=ready.pk) is True

    assert edited_fields(ready) == set()
    assert Tunnel.objects.filter(pk=ready.pk).values().get() == before


@pytest.mark.parametrize("value", [None, ""])
def test_a_null_or_empty_key_does_not_change_the_preshared_key(ready, program, value):
    program.call("editObject", {"presharedKey": value, "friendlyName": "x"}, on=ready.pk)

    saved = Tunnel.objects.get(pk=ready.pk)
    assert saved.preshared_key.open(saved.preshared_key_context) == "a key"
    assert edited_fields(ready) >= {"friendly_name"}


def test_a_key_in_a_template_replaces_the_preshared_key(ready, program):
    program.call("editObject", {"presharedKey": "another key"}, on=ready.pk)

    saved = Tunnel.objects.get(pk=ready.pk)
    assert saved.preshared_key.open(saved.preshared_key_context) == "another key"
    assert not KeyReveal.objects.exists()


def test_no_fault_contains_a_refused_key(ready, program):
    for template in (
        {"presharedKey": "canary\n"},
        {"presharedKey": "canary" * 50},
        {"presharedKey": ["canary"]},
        {"presharedKey": "canary", "phaseOneKeylife": 1},
        {"phaseOneKeylife": "canary"},
    ):
        fault = program.fault("editObject", template, on=ready.pk)
        assert "canary" not in f"{fault.text} {fault!r} {fault.__context__!r}"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("phaseOneKeylife", 119, "phaseOneKeylife: Enter a key life from 120 to 172800 seconds."),
        ("phaseTwoKeylife", 10**30, "phaseTwoKeylife: Enter a key life from 120 to 172800 seconds"),
        ("phaseOneKeylife", 3600.0, "phaseOneKeylife: send a number."),
        ("phaseOneKeylife", True, "phaseOneKeylife: send a number."),
        ("phaseOneDiffieHellmanGroup", 3, "phaseOneDiffieHellmanGroup: send one of 0, 1, 2, 5, 14"),
        ("phaseOneDiffieHellmanGroup", "", "phaseOneDiffieHellmanGroup: send one of 0, 1, 2, 5"),
        ("phaseOneEncryption", "AES", "phaseOneEncryption: send one of DES, 3DES, AES128, AES192"),
        ("phaseTwoAuthentication", ["MD5"], "phaseTwoAuthentication: send a string."),
        ("phaseTwoPerfectForwardSecrecy", 2, "phaseTwoPerfectForwardSecrecy: send true or false."),
        ("customerPeerIpAddress", "vpn.example", "customerPeerIpAddress: Enter an IPv4 address"),
        ("customerPeerIpAddress", "127.0.0.1", "customerPeerIpAddress: 127.0.0.1 is reserved."),
        ("friendlyName", "[/x]", "friendlyName: Enter one line of printable text without [ and ]"),
        ("friendlyName", {"a": 1}, "friendlyName: send a string."),
        ("presharedKey", "two\nlines", "presharedKey: Enter the key as one line"),
    ],
)
def test_an_invalid_value_is_named_and_the_whole_template_is_refused(
    ready, program, name, value, text
):
    before = Tunnel.objects.filter(pk=ready.pk).values().get()

    fault = program.fault("editObject", {"friendlyName": "good", name: value}, on=ready.pk)

    assert (fault.code, fault.status) == ("SoftLayer_Exception_InvalidValue", 400)
    assert fault.text.startswith(text)
    assert Tunnel.objects.filter(pk=ready.pk).values().get() == before


@pytest.mark.parametrize(
    "template",
    [{"phaseTwoDiffieHellmanGroup": 0}, {"phaseTwoDiffieHellmanGroup": "0", "friendlyName": "x"}],
)
def test_pfs_without_a_group_is_refused(ready, program, template):
    fault = program.fault("editObject", template, on=ready.pk)

    assert fault.text.startswith("Perfect Forward Secrecy needs a group")
    assert Tunnel.objects.get(pk=ready.pk).friendly_name == ""
    without_pfs = {**template, "phaseTwoPerfectForwardSecrecy": 0}
    assert program.call("editObject", without_pfs, on=ready.pk) is True


def test_a_tunnel_is_locked_during_an_apply(ready, program, gateway):
    assert program.call("applyConfigurationsToDevice", on=ready.pk) is True

    struct = program.call("getObject", on=ready.pk, mask="mask[id,advancedConfigurationFlag]")
    assert struct == {"id": ready.pk, "advancedConfigurationFlag": 1}
    for name, *arguments in (
        ("applyConfigurationsToDevice",),
        ("editObject", {"friendlyName": "x"}),
        ("deleteAddressTranslation", ready.translations.get().pk),
    ):
        fault = program.fault(name, *arguments, on=ready.pk)
        assert (fault.code, fault.status) == ("SoftLayer_Exception_Public", 423)
        assert fault.text.startswith(
            "Locked while revision 1 is being applied. Nothing was changed."
        )
    assert Revision.objects.count() == 1


def test_apply_refuses_an_incomplete_draft_with_its_problems(tunnel, program):
    fault = program.fault("applyConfigurationsToDevice", on=tunnel.pk)

    assert (fault.code, fault.status) == ("SoftLayer_Exception_Public", 400)
    assert "Enter the static address of the customer's VPN device." in fault.text
    assert not Revision.objects.exists()


def test_transactions_are_the_revisions_of_a_tunnel(ready, program, user):
    status = "mask[id,transactionStatus[name]]"
    first = services.apply(ready, user)
    assert program.call("getTransactionHistory", on=ready.pk) == []
    assert program.call("getActiveTransaction", on=ready.pk, mask=status) == {
        "id": first.pk,
        "transactionStatus": {"name": "QUEUED"},
    }

    Revision.objects.filter(pk=first.pk).update(outcome="live")

    assert program.call("getActiveTransaction", on=ready.pk) is None
    assert program.call("getTransactionHistory", on=ready.pk, mask=status) == [
        {"id": first.pk, "transactionStatus": {"name": "LIVE"}}
    ]


def test_exports_for_the_peer_contain_no_preshared_key(ready, program, user):
    services.set_preshared_key(ready, "canary-of-a-key", user)

    names = program.call("getAddressTranslationConfigurations", on=ready.pk)
    sheet = program.call("getParameterConfigurationsForCustomerView", on=ready.pk)
    file = program.call("downloadParameterConfigurations", on=ready.pk)

    assert names == "10.1.255.92        database\n"
    lines = [" ".join(line.split()) for line in sheet.splitlines()]
    assert {"Remote Peer Address: 203.0.113.2", "Encryption: 3DES", "10.2.0.0/24"} <= set(lines)
    assert "canary" not in sheet
    assert (file["name"], file["size"]) == ("ipsec001.parameters.txt", len(sheet))


def test_defaults_and_options_equal_those_of_the_reference(program):
    assert program.call("getAuthenticationOptions") == ["MD5", "SHA1", "SHA256"]
    assert program.call("getEncryptionOptions") == ["DES", "3DES", "AES128", "AES192", "AES256"]
    assert program.call("getDiffieHellmanGroupOptions") == [0, 1, 2, 5]
    assert program.call("getKeylifeLimits") == [120, 172800]
    assert (
        program.call("getPhaseOneKeylifeDefault"),
        program.call("getPhaseTwoKeylifeDefault"),
    ) == (
        "3600",
        "28800",
    )


def test_a_cancelled_context_is_not_found(ready, program, owner):
    services.cancel(ready, owner)

    assert program.fault("getObject", on=ready.pk).status == 404
    assert program.call(LIST) == []


@pytest.mark.parametrize("object_id", [True, 1.0, -1, 2**31, 10**40, "1 ", "x", [], {}, "9" * 5000])
def test_an_invalid_id_is_not_found(ready, program, object_id):
    fault = program.fault("getObject", on=object_id)

    assert (fault.code, fault.status) == ("SoftLayer_Exception_ObjectNotFound", 404)
    assert len(fault.text) < 100


def test_a_call_without_an_id_has_the_fault_for_missing_parameters(ready, program):
    assert program.fault("getObject").code == "-32602"


def test_the_listed_service_subnets_can_be_attached(ready, program, concentrator):
    service = {"kind": Subnet.Kind.SERVICE, "account": None}
    local = Subnet.objects.create(
        network=IPv4Network("10.200.0.0/24"), datacenter=concentrator.datacenter, **service
    )
    shared = Subnet.objects.create(network=IPv4Network("10.201.0.0/24"), **service)

    listed = program.call("getAllAvailableServiceSubnets", on=ready.pk, mask="mask[id]")

    assert listed == [{"id": local.pk}, {"id": shared.pk}]
    for subnet in listed:
        assert program.call("addServiceSubnetToNetworkTunnel", subnet["id"], on=ready.pk) is True
    attached = program.call("getServiceSubnets", on=ready.pk, mask="mask[id]")
    assert sorted(subnet["id"] for subnet in attached) == [local.pk, shared.pk]
    assert program.call("removeServiceSubnetFromNetworkTunnel", local.pk, on=ready.pk) is True
    assert program.call("getServiceSubnets", on=ready.pk, mask="mask[id]") == [{"id": shared.pk}]
    # Each method accepts only its own kind of subnet.
    hosted = Subnet.objects.get(kind=Subnet.Kind.HOSTED)
    assert program.fault("addPrivateSubnetToNetworkTunnel", local.pk, on=ready.pk).status == 404
    assert program.fault("addServiceSubnetToNetworkTunnel", hosted.pk, on=ready.pk).status == 404
