"""Scripts of the retired service: its own client, unmodified, over both of its transports.

A tunnel is ordered with each transport, worked through with every command and option, and
cancelled; nobody opens a page.
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


def key_for(product: RunningPortal, user: str) -> str:
    """A new key of a person, as the command prints it for a script to take."""
    made = product.run(PYTHON, "manage.py", "apikey", "create", user, "--name", "a script")
    assert made.returncode == 0, made.stderr
    return made.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def product() -> Iterator[RunningPortal]:
    """As `bin/run` leaves it: a tunnel for which nothing was entered."""
    running = RunningPortal("slcli")
    try:
        running.start()
        running.do(SERVICE)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module", params=["xmlrpc", "rest"])
def slcli(product: RunningPortal, request, tmp_path_factory) -> Slcli:
    """The client of somebody who moved: another endpoint and another key."""
    endpoint = f"{product.printed('URL')}{request.param}/v3.1/"
    client = Slcli(tmp_path_factory.mktemp(request.param), endpoint)
    client.set_up("admin", key_for(product, "admin"))
    return client


@pytest.fixture(scope="module")
def context(slcli: Slcli) -> Iterator[int]:
    """A tunnel that was ordered, and nothing else; it is cancelled when its tests are done."""
    before = contexts(slcli)
    slcli.said("-y", "ipsec", "order", "-d", "hou02")
    (new,) = contexts(slcli) - before
    yield new
    slcli.said("ipsec", "cancel", str(new), "--force")


def contexts(slcli: Slcli) -> set[int]:
    return {row["id"] for row in slcli.table("ipsec", "list")}


def detail(slcli: Slcli, context: int, *include: str) -> list:
    """The tables of `slcli ipsec detail`: the context, and what else is asked for."""
    chosen = [word for name in include for word in ("-i", name)]
    return slcli.tables("ipsec", "detail", str(context), *chosen)


def subnet(slcli: Slcli, network: str) -> int:
    """The id that `slcli subnet list` shows of a subnet."""
    rows = slcli.table("subnet", "list", "--sortby", "id", "--datacenter", "hou02", "--v4")
    return next(row["Id"] for row in rows if row["Identifier"] == network)


def static_addresses(slcli: Slcli, context: int) -> list[str]:
    _, (row,) = detail(slcli, context, "sr")
    return [str(one) for one in IPv4Network(f"{row['network identifier']}/{row['cidr']}")]


def test_the_customers_host_answers_after_four_commands_and_no_page(product, slcli):
    first = min(contexts(slcli))
    assert not product.ping()

    slcli.said(
        *("ipsec", "update", str(first), "--remote-peer", "203.0.113.2"),
        *("--preshared-key", product.device_key()),
        *("--p1-crypto", "AES256", "--p1-auth", "SHA256", "--p1-dh", "5"),
        *("--p2-crypto", "AES256", "--p2-auth", "SHA256", "--p2-dh", "5"),
    )
    created, _ = slcli.said("ipsec", "subnet-add", str(first), "-t", "remote", "-n", REMOTE).split(
        "\n"
    )
    added = slcli.said(
        *("ipsec", "translation-add", str(first), "-n", "database"),
        *("-s", "10.1.255.92", "-r", "192.168.10.15"),
    )
    slcli.said("ipsec", "configure", str(first))

    wait_for(product.ping, 20)

    # As it was before, for the other transport.
    slcli.said("ipsec", "translation-remove", str(first), "-t", number(added))
    settled(slcli, first)
    slcli.said("ipsec", "configure", str(first))
    wait_for(lambda: not product.ping(), 20)
    settled(slcli, first)
    slcli.said("ipsec", "subnet-remove", str(first), "-t", "remote", "-s", number(created))


def number(line: str) -> str:
    """The id at the end of what the client says of something new."""
    return line.rpartition("#")[2]


def settled(slcli: Slcli, context: int) -> None:
    """Waits until no configuration is being applied."""
    flag = "advanced configuration flag"
    wait_for(lambda: detail(slcli, context)[0][flag] == 0, 20)


def test_config_setup_writes_what_the_other_commands_use(slcli):
    text = slcli.settings.read_text()

    assert f"endpoint_url = {slcli.endpoint}" in text
    assert "username = admin" in text


def test_a_wrong_key_is_told_in_the_clients_own_words(slcli, tmp_path):
    other = Slcli(tmp_path, slcli.endpoint)
    other.settings.write_text(
        slcli.settings.read_text().replace("username = admin", "username = eve")
    )

    assert other.refused("ipsec", "list") == (
        "Authentication Failed: To update your credentials, use 'slcli config setup'"
    )


def test_an_order_is_a_tunnel_with_the_old_defaults(slcli, context):
    (row,) = [row for row in slcli.table("ipsec", "list", "--sortby", "id") if row["id"] == context]
    values, nat = detail(slcli, context, "sr")

    assert row["name"] == values["name"]
    assert row["internal peer IP address"] == values["internal peer IP address"]
    assert (row["remote peer IP address"], row["friendly name"]) == ("", "")
    assert [one["cidr"] for one in nat] == [30]
    assert [values[f"phase 1 {name}"] for name in ("encryption", "authentication")] == [
        "3DES",
        "MD5",
    ]
    assert [values[f"phase {phase} key life"] for phase in (1, 2)] == [14_400, 3_600]
    assert values["phase 2 perfect forward secrecy"] == 1


def test_update_changes_what_its_options_name_and_without_any_nothing(slcli, context):
    slcli.said(
        *("ipsec", "update", str(context), "--friendly-name", "Zürich"),
        *("--remote-peer", "203.0.113.77", "--preshared-key", "never & shown <again>"),
        *("--phase1-auth", "SHA1", "--phase1-crypto", "AES192", "--phase1-dh", "1"),
        *("--phase1-key-ttl", "172800", "--phase2-auth", "SHA256", "--phase2-crypto", "DES"),
        *("--phase2-dh", "0", "--phase2-forward-secrecy", "0", "--phase2-key-ttl", "120"),
    )
    changed = detail(slcli, context)[0]
    slcli.said("ipsec", "update", str(context))

    (again,) = detail(slcli, context)
    again["modified"] = changed["modified"]
    assert again == changed
    assert (
        changed.items()
        >= {
            "friendly name": "Zürich",
            "remote peer IP address": "203.0.113.77",
            "preshared key": "never & shown <again>",
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


def test_an_update_is_whole_or_not_at_all(slcli, context):
    before = detail(slcli, context)

    slcli.refused(
        "ipsec", "update", str(context), "--p1-dh", "5", "--remote-peer", "not.an.address"
    )
    slcli.refused("ipsec", "update", str(context), "--p2-forward-secrecy", "1", "--p2-dh", "0")

    assert detail(slcli, context) == before


def test_a_key_that_may_not_reveal_secrets_echoes_none_and_changes_none(product, slcli, tmp_path):
    """The client reads the whole context and sends it back with its change."""
    first = min(contexts(slcli))
    slcli.said("ipsec", "update", str(first), "--preshared-key", "kept as it was")
    product.do("""
olga, new = User.objects.get_or_create(username="olga")
if new:
    Membership.objects.create(account=tunnel.account, user=olga, role="operator")
""")
    operator = Slcli(tmp_path, slcli.endpoint)
    operator.set_up("olga", key_for(product, "olga"))

    operator.said("ipsec", "update", str(first), "--friendly-name", "by Olga")

    assert detail(operator, first)[0]["preshared key"] == ""
    assert detail(slcli, first)[0]["preshared key"] == "kept as it was"
    assert detail(slcli, first)[0]["friendly name"] == "by Olga"


def test_subnets_of_each_type_come_and_go(slcli, context):
    mine = str(context)
    hosted = str(subnet(slcli, "10.2.0.0/24"))
    offered = slcli.call("getAllAvailableServiceSubnets", on=context, mask="id,networkIdentifier")
    (service,) = [str(row["id"]) for row in offered if row["networkIdentifier"] == "10.0.80.0"]

    created, added = slcli.said(
        "ipsec", "subnet-add", mine, "--type", "remote", "--network", "172.20.0.0/16"
    ).split("\n")
    remote = number(created)
    slcli.said("ipsec", "subnet-add", mine, "-t", "internal", "-s", hosted)
    slcli.said("ipsec", "subnet-add", mine, "--subnet-type", "service", "--subnet-id", service)

    assert added == f"Added remote subnet #{remote}"
    assert networks(slcli, context) == (["10.2.0.0/24"], ["172.20.0.0/16"], ["10.0.80.0/24"])

    for kind, one in (("internal", hosted), ("remote", remote), ("service", service)):
        slcli.said("ipsec", "subnet-remove", mine, "-t", kind, "-s", one)

    assert networks(slcli, context) == ([], [], [])
    assert slcli.refused("ipsec", "subnet-add", mine, "-t", "internal", "-s", "99999999")


def networks(slcli: Slcli, context: int) -> tuple[list[str], ...]:
    """The internal, remote and service subnets of a context."""
    _, *tables = detail(slcli, context, "is", "rs", "ss")
    return tuple([f"{one['network identifier']}/{one['cidr']}" for one in rows] for rows in tables)


def test_a_translation_keeps_its_id_through_every_change(slcli, context):
    mine, (_, one, two, _) = str(context), static_addresses(slcli, context)
    created, _ = slcli.said("ipsec", "subnet-add", mine, "-t", "remote", "-n", REMOTE).split("\n")

    made = number(slcli.said("ipsec", "translation-add", mine, "-s", one, "-r", "192.168.10.4"))
    slcli.said(
        *("ipsec", "translation-update", mine, "--translation-id", made),
        *("--static-ip", two, "--remote-ip", "192.168.10.5", "--note", "mail"),
    )
    slcli.said("ipsec", "translation-update", mine, "-t", made, "-r", "192.168.10.6")

    _, (row,) = detail(slcli, context, "at")
    assert (row["id"], row["note"]) == (int(made), "mail")
    assert (row["static IP address"], row["remote IP address"]) == (two, "192.168.10.6")

    slcli.said("ipsec", "translation-remove", mine, "-t", made)

    assert detail(slcli, context, "at")[1] == []
    assert slcli.refused("ipsec", "translation-update", mine, "-t", made, "-n", "gone")
    slcli.said("ipsec", "subnet-remove", mine, "-t", "remote", "-s", number(created))


def test_a_translation_outside_the_subnets_of_its_context_is_refused_in_words(slcli, context):
    said = slcli.refused(
        "ipsec", "translation-add", str(context), "-s", "10.9.9.9", "-r", "192.168.10.4"
    )

    assert "10.9.9.9" in said
    assert detail(slcli, context, "at")[1] == []


def test_a_context_is_locked_while_its_configuration_is_applied(product, slcli):
    """The worker is stopped meanwhile, so that the configuration waits for it."""
    first, worker = min(contexts(slcli)), product.process("worker")
    created, _ = slcli.said("ipsec", "subnet-add", str(first), "-t", "remote", "-n", REMOTE).split(
        "\n"
    )
    os.kill(worker, signal.SIGSTOP)
    try:
        said = slcli.said("ipsec", "configure", str(first))
        again = slcli.refused("ipsec", "configure", str(first))
        refused = slcli.refused("ipsec", "update", str(first), "--p1-dh", "1")
        locked = detail(slcli, first)[0]["advanced configuration flag"]
        running = slcli.call("getActiveTransaction", on=first)
    finally:
        os.kill(worker, signal.SIGCONT)
    settled(slcli, first)

    assert said == f"Configuration request received for context #{first}"
    assert "being applied" in again
    assert "being applied" in refused
    assert locked == 1
    assert running["id"] in [row["id"] for row in slcli.call("getTransactionHistory", on=first)]
    slcli.said("ipsec", "subnet-remove", str(first), "-t", "remote", "-s", number(created))


ASKED = {
    "getAuthenticationDefault": "MD5",
    "getAuthenticationOptions": ["MD5", "SHA1", "SHA256"],
    "getEncryptionDefault": "3DES",
    "getEncryptionOptions": ["DES", "3DES", "AES128", "AES192", "AES256"],
    "getDiffieHellmanGroupDefault": 2,
    # The client leaves 0 out of a list that it prints.
    "getDiffieHellmanGroupOptions": [1, 2, 5],
    "getKeylifeLimits": [120, 172_800],
    "getPhaseOneKeylifeDefault": "3600",
    "getPhaseTwoKeylifeDefault": "28800",
}


def test_call_api_asks_for_the_defaults_and_options_without_a_context(slcli):
    with ThreadPoolExecutor(3) as several:
        answers = dict(zip(ASKED, several.map(slcli.call, ASKED), strict=True))

    assert {name: plain(answer) for name, answer in answers.items()} == ASKED


def plain(answer):
    """A list as it was answered; the client prints it as a table with one column."""
    return [row["value"] for row in answer] if isinstance(answer, list) else answer


READ = {
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
TEXTS = ("getAddressTranslationConfigurations", "getParameterConfigurationsForCustomerView")


def test_call_api_changes_and_reads_a_context_with_every_other_method(slcli, context):
    one, two, three, _ = static_addresses(slcli, context)
    hosted = str(subnet(slcli, "10.2.0.0/24"))

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
    first = call("createAddressTranslation", row(one, 1))
    second, third = call("createAddressTranslations", [row(two, 2), row(three, 3)])
    assert call("editAddressTranslation", {"id": first["id"], "notes": "renamed"})["id"]
    edits = [
        {"id": second["id"], "notes": "2"},
        {"id": third["id"], "customerIpAddress": "192.168.77.30"},
    ]
    assert len(call("editAddressTranslations", edits)) == 2

    with ThreadPoolExecutor(3) as several:
        answers = dict(zip(READ, several.map(call, READ), strict=True))
        texts = list(several.map(call, TEXTS))

    assert answers["getObject"]["friendlyName"] == "by call-api"
    for method, name in READ.items():
        rows = answers[method] if isinstance(answers[method], list) else [answers[method]]
        assert rows and all(one[name] for one in rows), method
    assert [one["customerIpAddress"] for one in answers["getAddressTranslations"]] == [
        "192.168.77.1",
        "192.168.77.2",
        "192.168.77.30",
    ]
    assert texts[0].splitlines()[0] == f"{one}        renamed"
    assert "192.168.77.0" in texts[1]

    assert call("deleteAddressTranslation", str(first["id"])) is True
    # Nothing may be applied that is not complete; the refusal says what is missing.
    call("editObject", {"customerPeerIpAddress": "203.0.113.78", "presharedKey": "a long key, yes"})
    assert call("applyConfigurationsToDevice") is True
    settled(slcli, context)
    assert len(call("getTransactionHistory")) == 1
    assert call("getActiveTransaction") is None
    for method, used in (
        ("removeCustomerSubnetFromNetworkTunnel", str(remote)),
        ("removePrivateSubnetFromNetworkTunnel", hosted),
        ("removeServiceSubnetFromNetworkTunnel", service),
    ):
        assert call(method, used) is True
    assert call("getCustomerSubnets") in (None, [])


def row(internal: str, last: int) -> dict[str, str]:
    return {"internalIpAddress": internal, "customerIpAddress": f"192.168.77.{last}"}


def test_call_api_pages_filters_and_orders_as_it_did(slcli, context):
    ids = sorted(contexts(slcli))
    service = {"service": "Account", "mask": "id,name"}

    ordered = slcli.call(
        "getNetworkTunnelContexts", orderBy="networkTunnelContexts.id=DESC", **service
    )
    (second,) = slcli.call("getNetworkTunnelContexts", limit="1", offset="1", **service)
    (found,) = slcli.call(
        "getNetworkTunnelContexts", filter=f"networkTunnelContexts.id={context}", **service
    )

    assert [row["id"] for row in ordered] == ids[::-1]
    assert set(second) == {"id", "name"}
    assert found["id"] == context


def test_what_does_not_exist_is_told_as_the_client_expects(slcli):
    assert "99999999" in slcli.refused("ipsec", "detail", "99999999")
    assert "99999999" in slcli.refused("ipsec", "cancel", "99999999", "--force")
    assert "nowhere01" in slcli.refused("-y", "ipsec", "order", "-d", "nowhere01")
    no_method = slcli.refused("call-api", "Network_Tunnel_Module_Context", "getNothing", "--id=1")
    assert "SoftLayerAPIError" in no_method or "MethodNotFound" in no_method


def test_a_cancelled_context_is_gone_for_every_command(slcli):
    before = contexts(slcli)
    slcli.said("-y", "ipsec", "order", "--datacenter", "HOUSTON02")
    (new,) = contexts(slcli) - before

    declined = slcli.run("ipsec", "cancel", str(new), typed="n\n")
    cancelled = slcli.run(
        "ipsec", "cancel", str(new), "--immediate", "--reason", "No longer needed", typed="y\n"
    )

    assert declined.returncode == 2
    assert cancelled.returncode == 0
    assert cancelled.stdout.endswith(f"Ipsec {new} was cancelled.\n")
    assert contexts(slcli) == before
    assert str(new) in slcli.refused("ipsec", "configure", str(new))
