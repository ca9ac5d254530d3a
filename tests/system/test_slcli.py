"""The unmodified client of the retired service, over both of its transports.

With each transport a tunnel is ordered, changed with every command and option, and cancelled. No
test opens a page.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network

import pytest

from tests.running_portal import PYTHON, RunningPortal, wait_for
from tests.slcli import Slcli

SERVICE = """
service, _ = Subnet.objects.get_or_create(
    kind="service", name="object storage", network=IPv4Network("10.0.80.0/24"), account=None
)
"""
REMOTE = "192.168.10.0/24"


def create_key(portal: RunningPortal, user: str) -> str:
    """Create a key of a user with the command, which prints it on its last line."""
    options = ("--name", "a script", "--scope", "order")
    process = portal.run(PYTHON, "manage.py", "apikey", "create", user, *options)
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def portal() -> Iterator[RunningPortal]:
    """Yield a portal as `bin/run` starts it, with a tunnel whose draft is empty."""
    running = RunningPortal("slcli")
    try:
        running.start()
        running.do(SERVICE)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module", params=["xmlrpc", "rest"])
def slcli(portal: RunningPortal, request, tmp_path_factory) -> Slcli:
    """Return a client with the portal as its endpoint and a new key."""
    endpoint = f"{portal.printed('URL')}{request.param}/v3.1/"
    client = Slcli(tmp_path_factory.mktemp(request.param), endpoint)
    client.set_up("admin", create_key(portal, "admin"))
    return client


@pytest.fixture(scope="module")
def context(slcli: Slcli) -> Iterator[int]:
    """Yield a tunnel that was only ordered, and cancel it after its tests."""
    before = contexts(slcli)
    slcli.succeed("-y", "ipsec", "order", "-d", "hou02")
    (context_id,) = contexts(slcli) - before
    yield context_id
    slcli.succeed("ipsec", "cancel", str(context_id), "--force")


def contexts(slcli: Slcli) -> set[int]:
    return {row["id"] for row in slcli.table("ipsec", "list")}


def detail(slcli: Slcli, context: int, *include: str) -> list:
    """Return the tables of `slcli ipsec detail`: the context, and those of `include`."""
    options = [word for name in include for word in ("-i", name)]
    return slcli.tables("ipsec", "detail", str(context), *options)


def subnet_id(slcli: Slcli, network: str) -> int:
    """Return the id of a subnet from `slcli subnet list`."""
    rows = slcli.table("subnet", "list", "--sortby", "id", "--datacenter", "hou02", "--v4")
    return next(row["Id"] for row in rows if row["Identifier"] == network)


def static_addresses(slcli: Slcli, context: int) -> list[str]:
    _, (row,) = detail(slcli, context, "sr")
    return [str(address) for address in IPv4Network(f"{row['network identifier']}/{row['cidr']}")]


# The tests below go on with the tunnel of this one.
@pytest.mark.userland
def test_the_customers_host_replies_after_four_commands(portal, slcli):
    first_id = min(contexts(slcli))
    assert not portal.ping()

    slcli.succeed(
        *("ipsec", "update", str(first_id), "--remote-peer", "203.0.113.2"),
        *("--preshared-key", portal.device_key()),
        *("--p1-crypto", "AES256", "--p1-auth", "SHA256", "--p1-dh", "5"),
        *("--p2-crypto", "AES256", "--p2-auth", "SHA256", "--p2-dh", "5"),
    )
    created, _ = slcli.succeed(
        "ipsec", "subnet-add", str(first_id), "-t", "remote", "-n", REMOTE
    ).split("\n")
    added = slcli.succeed(
        *("ipsec", "translation-add", str(first_id), "-n", "database"),
        *("-s", "10.1.255.92", "-r", "192.168.10.15"),
    )
    slcli.succeed("ipsec", "configure", str(first_id))

    wait_for(portal.ping, 20)

    # Undo the changes for the other transport.
    slcli.succeed("ipsec", "translation-remove", str(first_id), "-t", created_id(added))
    wait_until_applied(slcli, first_id)
    slcli.succeed("ipsec", "configure", str(first_id))
    wait_for(lambda: not portal.ping(), 20)
    wait_until_applied(slcli, first_id)
    slcli.succeed(
        "ipsec", "subnet-remove", str(first_id), "-t", "remote", "-s", created_id(created)
    )


def created_id(line: str) -> str:
    """Return the id at the end of the line about a new object."""
    return line.rpartition("#")[2]


def wait_until_applied(slcli: Slcli, context: int) -> None:
    """Wait until no configuration is being applied."""
    flag = "advanced configuration flag"
    wait_for(lambda: detail(slcli, context)[0][flag] == 0, 20)


# These tests start the client a hundred times and send no packet.
own_kernel = pytest.mark.own_kernel


@own_kernel
def test_config_setup_writes_the_endpoint_and_the_user(slcli):
    text = slcli.settings.read_text()

    assert f"endpoint_url = {slcli.endpoint}" in text
    assert "username = admin" in text


@own_kernel
def test_a_wrong_key_gets_the_clients_own_message(slcli, tmp_path):
    wrong_user = Slcli(tmp_path, slcli.endpoint)
    wrong_user.settings.write_text(
        slcli.settings.read_text().replace("username = admin", "username = eve")
    )

    assert wrong_user.fail("ipsec", "list") == (
        "Authentication Failed: To update your credentials, use 'slcli config setup'"
    )


@own_kernel
def test_an_order_creates_a_tunnel_with_the_old_defaults(slcli, context):
    (row,) = [row for row in slcli.table("ipsec", "list", "--sortby", "id") if row["id"] == context]
    values, nat = detail(slcli, context, "sr")

    assert row["name"] == values["name"]
    assert row["internal peer IP address"] == values["internal peer IP address"]
    assert (row["remote peer IP address"], row["friendly name"]) == ("", "")
    assert [subnet["cidr"] for subnet in nat] == [30]
    assert [values[f"phase 1 {name}"] for name in ("encryption", "authentication")] == [
        "3DES",
        "MD5",
    ]
    assert [values[f"phase {phase} key life"] for phase in (1, 2)] == [14_400, 3_600]
    assert values["phase 2 perfect forward secrecy"] == 1


@own_kernel
def test_update_changes_only_the_properties_of_its_options(slcli, context):
    slcli.succeed(
        *("ipsec", "update", str(context), "--friendly-name", "Zürich"),
        *("--remote-peer", "203.0.113.77", "--preshared-key", "a <long> & secret key"),
        *("--phase1-auth", "SHA1", "--phase1-crypto", "AES192", "--phase1-dh", "1"),
        *("--phase1-key-ttl", "172800", "--phase2-auth", "SHA256", "--phase2-crypto", "DES"),
        *("--phase2-dh", "0", "--phase2-forward-secrecy", "0", "--phase2-key-ttl", "120"),
    )
    changed = detail(slcli, context)[0]
    slcli.succeed("ipsec", "update", str(context))

    (unchanged,) = detail(slcli, context)
    unchanged["modified"] = changed["modified"]
    assert unchanged == changed
    assert (
        changed.items()
        >= {
            "friendly name": "Zürich",
            "remote peer IP address": "203.0.113.77",
            "preshared key": "a <long> & secret key",
            "phase 1 authentication": "SHA1",
            "phase 1 encryption": "AES192",
            "phase 1 diffie hellman group": 1,
            "phase 1 key life": 172_800,
            "phase 2 authentication": "SHA256",
            "phase 2 encryption": "DES",
            "phase 2 diffie hellman group": 0,
            "phase 2 perfect forward secrecy": 0,
            "phase 2 key life": 120,
        }.items()
    )


@own_kernel
def test_a_refused_update_changes_nothing(slcli, context):
    before = detail(slcli, context)

    slcli.fail("ipsec", "update", str(context), "--p1-dh", "5", "--remote-peer", "not.an.address")
    slcli.fail("ipsec", "update", str(context), "--p2-forward-secrecy", "1", "--p2-dh", "0")

    assert detail(slcli, context) == before


@own_kernel
def test_an_operators_update_does_not_change_the_preshared_key(portal, slcli, tmp_path):
    """The client reads the whole context and sends it back with its change."""
    first_id = min(contexts(slcli))
    slcli.succeed("ipsec", "update", str(first_id), "--preshared-key", "the owner's key")
    portal.do("""
olga, new = User.objects.get_or_create(username="olga")
if new:
    Membership.objects.create(account=tunnel.account, user=olga, role="operator")
""")
    operator = Slcli(tmp_path, slcli.endpoint)
    operator.set_up("olga", create_key(portal, "olga"))

    operator.succeed("ipsec", "update", str(first_id), "--friendly-name", "by Olga")

    assert detail(operator, first_id)[0]["preshared key"] == ""
    assert detail(slcli, first_id)[0]["preshared key"] == "the owner's key"
    assert detail(slcli, first_id)[0]["friendly name"] == "by Olga"


@own_kernel
def test_subnets_of_each_type_can_be_added_and_removed(slcli, context):
    context_id = str(context)
    hosted = str(subnet_id(slcli, "10.2.0.0/24"))
    available = slcli.call("getAllAvailableServiceSubnets", on=context, mask="id,networkIdentifier")
    (service,) = [str(row["id"]) for row in available if row["networkIdentifier"] == "10.0.80.0"]

    created, added = slcli.succeed(
        "ipsec", "subnet-add", context_id, "--type", "remote", "--network", "172.20.0.0/16"
    ).split("\n")
    remote = created_id(created)
    slcli.succeed("ipsec", "subnet-add", context_id, "-t", "internal", "-s", hosted)
    slcli.succeed(
        "ipsec", "subnet-add", context_id, "--subnet-type", "service", "--subnet-id", service
    )

    assert added == f"Added remote subnet #{remote}"
    assert networks(slcli, context) == (["10.2.0.0/24"], ["172.20.0.0/16"], ["10.0.80.0/24"])

    for kind, subnet in (("internal", hosted), ("remote", remote), ("service", service)):
        slcli.succeed("ipsec", "subnet-remove", context_id, "-t", kind, "-s", subnet)

    assert networks(slcli, context) == ([], [], [])
    assert slcli.fail("ipsec", "subnet-add", context_id, "-t", "internal", "-s", "99999999")


def networks(slcli: Slcli, context: int) -> tuple[list[str], ...]:
    """Return the internal, remote and service subnets of a context."""
    _, *tables = detail(slcli, context, "is", "rs", "ss")
    return tuple([f"{row['network identifier']}/{row['cidr']}" for row in rows] for rows in tables)


@own_kernel
def test_a_translation_keeps_its_id_through_every_change(slcli, context):
    context_id, (_, first, second, _) = str(context), static_addresses(slcli, context)
    created, _ = slcli.succeed(
        "ipsec", "subnet-add", context_id, "-t", "remote", "-n", REMOTE
    ).split("\n")

    translation = created_id(
        slcli.succeed("ipsec", "translation-add", context_id, "-s", first, "-r", "192.168.10.4")
    )
    slcli.succeed(
        *("ipsec", "translation-update", context_id, "--translation-id", translation),
        *("--static-ip", second, "--remote-ip", "192.168.10.5", "--note", "mail"),
    )
    slcli.succeed(
        "ipsec", "translation-update", context_id, "-t", translation, "-r", "192.168.10.6"
    )

    _, (row,) = detail(slcli, context, "at")
    assert (row["id"], row["note"]) == (int(translation), "mail")
    assert (row["static IP address"], row["remote IP address"]) == (second, "192.168.10.6")

    slcli.succeed("ipsec", "translation-remove", context_id, "-t", translation)

    assert detail(slcli, context, "at")[1] == []
    assert slcli.fail("ipsec", "translation-update", context_id, "-t", translation, "-n", "gone")
    slcli.succeed("ipsec", "subnet-remove", context_id, "-t", "remote", "-s", created_id(created))


@own_kernel
def test_a_translation_outside_the_subnets_of_its_context_is_refused(slcli, context):
    output = slcli.fail(
        "ipsec", "translation-add", str(context), "-s", "10.9.9.9", "-r", "192.168.10.4"
    )

    assert "10.9.9.9" in output
    assert detail(slcli, context, "at")[1] == []


@own_kernel
def test_a_context_is_locked_during_an_apply(portal, slcli):
    """The worker is stopped, so that the configuration remains queued."""
    first_id, worker = min(contexts(slcli)), portal.process("worker", "concentrator")
    created, _ = slcli.succeed(
        "ipsec", "subnet-add", str(first_id), "-t", "remote", "-n", REMOTE
    ).split("\n")
    os.kill(worker, signal.SIGSTOP)
    try:
        first_configure = slcli.succeed("ipsec", "configure", str(first_id))
        second_configure = slcli.fail("ipsec", "configure", str(first_id))
        update = slcli.fail("ipsec", "update", str(first_id), "--p1-dh", "1")
        locked = detail(slcli, first_id)[0]["advanced configuration flag"]
        transaction = slcli.call("getActiveTransaction", on=first_id)
    finally:
        os.kill(worker, signal.SIGCONT)
    wait_until_applied(slcli, first_id)

    assert first_configure == f"Configuration request received for context #{first_id}"
    assert "being applied" in second_configure
    assert "being applied" in update
    assert locked == 1
    assert transaction["id"] in [
        row["id"] for row in slcli.call("getTransactionHistory", on=first_id)
    ]
    slcli.succeed(
        "ipsec", "subnet-remove", str(first_id), "-t", "remote", "-s", created_id(created)
    )


OPTIONS = {
    "getAuthenticationDefault": "MD5",
    "getAuthenticationOptions": ["MD5", "SHA1", "SHA256"],
    "getEncryptionDefault": "3DES",
    "getEncryptionOptions": ["DES", "3DES", "AES128", "AES192", "AES256"],
    "getDiffieHellmanGroupDefault": 2,
    # The client omits 0 when it prints a list.
    "getDiffieHellmanGroupOptions": [1, 2, 5],
    "getKeylifeLimits": [120, 172_800],
    "getPhaseOneKeylifeDefault": "3600",
    "getPhaseTwoKeylifeDefault": "28800",
}


@own_kernel
def test_call_api_reads_the_defaults_and_options_without_a_context(slcli):
    with ThreadPoolExecutor(3) as executor:
        printed = dict(zip(OPTIONS, executor.map(slcli.call, OPTIONS), strict=True))

    assert {name: value_of(table) for name, table in printed.items()} == OPTIONS


def value_of(printed):
    """Return a list from the table with one column that the client prints for it."""
    return [row["value"] for row in printed] if isinstance(printed, list) else printed


GETTERS = {
    "getObject": "phaseOneKeylife",
    "getAccount": "companyName",
    "getBillingItem": "categoryCode",
    "getDatacenter": "longName",
    "getStaticRouteSubnets": "networkIdentifier",
    "getAddressTranslations": "internalIpAddress",
    "getCustomerSubnets": "networkIdentifier",
    "getInternalSubnets": "networkIdentifier",
    "getServiceSubnets": "networkIdentifier",
    "getAllAvailableServiceSubnets": "networkIdentifier",
    "downloadAddressTranslationConfigurations": "content",
    "downloadParameterConfigurations": "content",
}
EXPORTS = ("getAddressTranslationConfigurations", "getParameterConfigurationsForCustomerView")


@own_kernel
def test_call_api_changes_and_reads_a_context_with_every_other_method(slcli, context):
    addresses = static_addresses(slcli, context)
    hosted = str(subnet_id(slcli, "10.2.0.0/24"))

    def call(method, *arguments, **options):
        return slcli.call(method, *arguments, on=context, **options)

    template = {"networkIdentifier": "192.168.77.0", "cidr": 24}
    remote = slcli.call("createObject", template, service="Network_Customer_Subnet")["id"]
    (service,) = [
        str(row["id"])
        for row in call("getAllAvailableServiceSubnets")
        if row["networkIdentifier"] == "10.0.80.0"
    ]
    assert call("editObject", {"friendlyName": "by call-api"}) is True
    assert call("addCustomerSubnetToNetworkTunnel", str(remote)) is True
    assert call("addPrivateSubnetToNetworkTunnel", hosted) is True
    assert call("addServiceSubnetToNetworkTunnel", service) is True
    templates = [template_of(address, last) for last, address in enumerate(addresses[:3], 1)]
    first = call("createAddressTranslation", templates[0])
    second, third = call("createAddressTranslations", templates[1:])
    assert call("editAddressTranslation", {"id": first["id"], "notes": "renamed"})["id"]
    edits = [
        {"id": second["id"], "notes": "2"},
        {"id": third["id"], "customerIpAddress": "192.168.77.30"},
    ]
    assert len(call("editAddressTranslations", edits)) == 2

    with ThreadPoolExecutor(3) as executor:
        values = dict(zip(GETTERS, executor.map(call, GETTERS), strict=True))
        exports = list(executor.map(call, EXPORTS))

    assert values["getObject"]["friendlyName"] == "by call-api"
    for method, name in GETTERS.items():
        rows = values[method] if isinstance(values[method], list) else [values[method]]
        assert rows and all(row[name] for row in rows), method
    assert [row["customerIpAddress"] for row in values["getAddressTranslations"]] == [
        "192.168.77.1",
        "192.168.77.2",
        "192.168.77.30",
    ]
    assert exports[0].splitlines()[0] == f"{addresses[0]}        renamed"
    assert "192.168.77.0" in exports[1]

    assert call("deleteAddressTranslation", str(first["id"])) is True
    # Apply refuses an incomplete draft.
    call("editObject", {"customerPeerIpAddress": "203.0.113.78", "presharedKey": "a long key, yes"})
    assert call("applyConfigurationsToDevice") is True
    wait_until_applied(slcli, context)
    assert len(call("getTransactionHistory")) == 1
    assert call("getActiveTransaction") is None
    for method, subnet in (
        ("removeCustomerSubnetFromNetworkTunnel", str(remote)),
        ("removePrivateSubnetFromNetworkTunnel", hosted),
        ("removeServiceSubnetFromNetworkTunnel", service),
    ):
        assert call(method, subnet) is True
    assert call("getCustomerSubnets") in (None, [])


def template_of(internal: str, last: int) -> dict[str, str]:
    return {"internalIpAddress": internal, "customerIpAddress": f"192.168.77.{last}"}


@own_kernel
def test_call_api_pages_filters_and_orders_a_list(slcli, context):
    ids = sorted(contexts(slcli))
    options = {"service": "Account", "mask": "id,name"}

    ordered = slcli.call(
        "getNetworkTunnelContexts", orderBy="networkTunnelContexts.id=DESC", **options
    )
    (second,) = slcli.call("getNetworkTunnelContexts", limit="1", offset="1", **options)
    (filtered,) = slcli.call(
        "getNetworkTunnelContexts", filter=f"networkTunnelContexts.id={context}", **options
    )

    assert [row["id"] for row in ordered] == ids[::-1]
    assert set(second) == {"id", "name"}
    assert filtered["id"] == context


@own_kernel
def test_a_missing_object_or_method_has_the_fault_that_the_client_expects(slcli):
    assert "99999999" in slcli.fail("ipsec", "detail", "99999999")
    assert "99999999" in slcli.fail("ipsec", "cancel", "99999999", "--force")
    assert "nowhere01" in slcli.fail("-y", "ipsec", "order", "-d", "nowhere01")
    no_method = slcli.fail("call-api", "Network_Tunnel_Module_Context", "getNothing", "--id=1")
    assert "SoftLayerAPIError" in no_method or "MethodNotFound" in no_method


@own_kernel
def test_a_cancelled_context_is_not_found_by_other_commands(slcli):
    before = contexts(slcli)
    slcli.succeed("-y", "ipsec", "order", "--datacenter", "HOUSTON02")
    (new_id,) = contexts(slcli) - before

    declined = slcli.run("ipsec", "cancel", str(new_id), stdin="n\n")
    cancelled = slcli.run(
        "ipsec", "cancel", str(new_id), "--immediate", "--reason", "No longer needed", stdin="y\n"
    )

    assert declined.returncode == 2
    assert cancelled.returncode == 0
    assert cancelled.stdout.endswith(f"Ipsec {new_id} was cancelled.\n")
    assert contexts(slcli) == before
    assert str(new_id) in slcli.fail("ipsec", "configure", str(new_id))
