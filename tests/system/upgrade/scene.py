"""The tunnels of the upgraded portal, made through its pages and the retired API.

Both interfaces stay as they are, so this scene is that of every release.

| tunnel | IKE | state when the portal stops |
|---|---|---|
| ipsec001 | 1 | up, the trial of its second revision over; its draft is the first one restored |
| ipsec002 | 2 | up, the trial of its second revision runs |
| ipsec003 | 2 | was up, disconnected |
| ipsec004 | 2 | cancelled, no address taken any more |
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.running_portal import wait_for
from tests.softlayer_go import Session
from tests.system.faults.person import Person
from tests.system.upgrade.machine import Flow
from tests.system.upgrade.pages import crawl
from tests.system.upgrade.release import Release

CONTEXT = "Network_Tunnel_Module_Context"
# All that a script can read of a tunnel, but for the time of the last change.
MASK = (
    "mask[id,accountId,name,friendlyName,internalPeerIpAddress,customerPeerIpAddress,presharedKey,"
    "advancedConfigurationFlag,createDate,phaseOneAuthentication,phaseOneEncryption,"
    "phaseOneDiffieHellmanGroup,phaseOneKeylife,phaseTwoAuthentication,phaseTwoEncryption,"
    "phaseTwoDiffieHellmanGroup,phaseTwoKeylife,phaseTwoPerfectForwardSecrecy,"
    "addressTranslations,customerSubnets,internalSubnets,staticRouteSubnets,transactionHistory]"
)
SETTINGS = {
    "customerPeerIpAddress": "203.0.113.2",
    **dict.fromkeys(("phaseOneEncryption", "phaseTwoEncryption"), "AES256"),
    **dict.fromkeys(("phaseOneAuthentication", "phaseTwoAuthentication"), "SHA256"),
    **dict.fromkeys(("phaseOneDiffieHellmanGroup", "phaseTwoDiffieHellmanGroup"), 5),
}
ORDER = {
    "complexType": "SoftLayer_Container_Product_Order_Network_Tunnel_Ipsec",
    "location": "hou02",
    "packageId": 0,
    "prices": [{"id": 51379}],
    "quantity": 1,
}
EXAMPLE, SECOND, DISCONNECTED, CANCELLED = 1, 2, 3, 4
# The third octet of the customer's network. The laboratory has the first two of them.
NETWORKS = {EXAMPLE: 10, SECOND: 20, DISCONNECTED: 30, CANCELLED: 40}
SERVER = "10.2.0.10"
# The shortest trial that the portal takes, and one that outlasts the upgrade, also in a guest.
SHORT_TRIAL_SECONDS, LONG_TRIAL_SECONDS = 5, 600
# For what is not measured.
PATIENCE_SECONDS = 90
# The worker ends a replaced CHILD_SA some seconds after its successor carries traffic.
REST_SECONDS = 4.0
# For tunnels from the provider's other addresses; `others` inherits the rest from `customer`.
IKE_V2 = """others : connections.customer {
        version = 2
        children {
            private {
                local_ts = 192.168.20.0/24, 192.168.30.0/24
            }
        }
"""
# Opens each row that has something sealed. Both releases run it.
OPEN = """
import dataclasses, json
from django.apps import apps
from vpnportal.fields import SealedField
opened = {}
for model in apps.get_models():
    for column in (field.name for field in model._meta.fields if isinstance(field, SealedField)):
        rows = [row for row in model.objects.all() if getattr(row, column)]
        # Only a restore makes a held tunnel, a probe has its draft until it has a result, and a
        # mail its text until it is sent.
        empty = model.__name__ in ("HeldTunnel", "OutgoingMail", "PeerProbe")
        assert rows or empty, f"the scene has no {model.__name__}.{column}"
        for row in rows:
            name = f"tunnel {getattr(row, 'tunnel_id', row.pk)} {getattr(row, 'number', column)}"
            try:
                spec = row.spec() if hasattr(row, "spec") else row.draft()
                opened[name] = dataclasses.asdict(spec)
            except Exception as error:
                opened[name] = repr(error)
print(json.dumps(opened, default=str))
"""


@dataclass(frozen=True)
class Observation:
    """The tunnels and the portal at one moment.

    `opened` has the specification of each sealed row, `read` the answers of the retired API about
    all tunnels, preshared keys included, `pages` the status of each page by address, and `trials`
    tunnel and number of each revision whose trial runs.
    """

    security_associations: dict[str, set[bytes]]
    kernel: str
    opened: dict[str, Any]
    read: list[dict[str, Any]]
    pages: dict[str, int]
    trials: list[tuple[int, int]]


class Scene:
    """The four tunnels, and the owner of their account with a browser and a script."""

    def __init__(self, release: Release) -> None:
        self.machine = release.machine
        self._person = Person(self.machine.url, "admin", self.machine.password)
        key = release.manage("apikey", "create", "admin", "--name", "a script").split()[-1]
        self._script = Session("127.0.0.1", self.machine.port, "admin", key)
        self._addresses = {EXAMPLE: "10.1.255.92"}

    @property
    def flows(self) -> tuple[Flow, ...]:
        """Both directions through each tunnel that is up."""
        return tuple(
            Flow(f"ctx{tunnel}", *ends)
            for tunnel in (EXAMPLE, SECOND)
            for ends in (
                ("server", SERVER, self._addresses[tunnel]),
                ("customer", f"192.168.{NETWORKS[tunnel]}.15", SERVER),
            )
        )

    def build(self) -> None:
        """Bring the tunnels into the states of the table; return when nothing changes any more."""
        key = self._prepare_device()
        self._fill_in(EXAMPLE, key)
        self._apply(EXAMPLE)
        for tunnel in (SECOND, DISCONNECTED, CANCELLED):
            assert self._call("Product_Order", "placeOrder", ORDER)["orderId"] == tunnel
            self._fill_in(tunnel, key)
            self._attach_hosted_subnet(tunnel)
            self._post(tunnel, "edit", {"fieldset": "more", "ike_version": "2"}, "ike_version")
            self._apply(tunnel)
        for tunnel in (EXAMPLE, SECOND, DISCONNECTED):
            wait_for(
                lambda address=self._addresses[tunnel]: self.machine.answers(address),
                PATIENCE_SECONDS,
            )
        self._call("Billing_Item", "cancelService", on=CANCELLED)
        self._post(DISCONNECTED, "command", {"do": "disconnect"})
        self._translate(EXAMPLE, "10.1.255.93", "192.168.10.16")
        self._apply(EXAMPLE, SHORT_TRIAL_SECONDS)
        wait_for(lambda: not self.trials(), PATIENCE_SECONDS)
        self._post(EXAMPLE, "history/1/restore", {})
        self._post(EXAMPLE, "key/reveal", {})
        self._call(CONTEXT, "editObject", {"phaseTwoKeylife": 3000}, on=SECOND)
        self._apply(SECOND, LONG_TRIAL_SECONDS)
        self._wait_until_at_rest()

    def observe(self, release: Release) -> Observation:
        """Return an observation of this moment, at which the portal of this release runs."""
        # A session of the release before is asked for the password before it sees exports.
        self._person.post("/profile/confirm/", {"password": self.machine.password})
        return Observation(
            self.machine.security_associations(),
            self.machine.kernel(),
            json.loads(release.manage("shell", "-v0", "-c", OPEN)),
            self.read(),
            crawl(self._person, ["/tunnels/", *(f"/tunnels/{tunnel}/" for tunnel in NETWORKS)]),
            self.trials(),
        )

    def connect(self) -> None:
        """Put the disconnected tunnel back."""
        self._post(DISCONNECTED, "command", {"do": "connect"})

    def undo(self) -> None:
        """Bring back the draft of the example from before a revision was restored."""
        self._post(EXAMPLE, "undo", {})

    def trials(self) -> list[tuple[Any, ...]]:
        """Return tunnel and number of each revision whose trial runs."""
        return self.machine.rows(
            "SELECT tunnel_id, number FROM vpnportal_revision"
            " WHERE trial_ends_at IS NOT NULL AND outcome = 'live'"
        )

    def end_trials(self) -> None:
        """Let the time of each running trial be over now."""
        now = datetime.now(UTC).replace(tzinfo=None)
        self.machine.write(
            "UPDATE vpnportal_revision SET trial_ends_at = ?"
            " WHERE trial_ends_at IS NOT NULL AND outcome = 'live'",
            now.isoformat(" ", "microseconds"),
        )

    def outcomes(self, tunnel: int) -> list[str]:
        """Return the outcome of each revision of a tunnel, oldest first."""
        query = "SELECT outcome FROM vpnportal_revision WHERE tunnel_id = ? ORDER BY number"
        return [outcome for (outcome,) in self.machine.rows(query, tunnel)]

    def disconnected_answers(self) -> bool:
        """Return True if the tunnel that was disconnected carries a ping."""
        return self.machine.answers(self._addresses[DISCONNECTED])

    def read(self) -> list[dict[str, Any]]:
        """Return all that a script can read of all tunnels, preshared keys included."""
        return self._call("Account", "getNetworkTunnelContexts", mask=MASK)

    def _prepare_device(self) -> str:
        """Let the customer's device accept IKEv2 for ordered tunnels; return its preshared key."""
        for host, address in (("peer", 1), ("customer", 15)):
            interface = (f"192.168.{NETWORKS[DISCONNECTED]}.{address}/24", "dev", "private")
            self.machine.on(host, "ip", "address", "add", *interface)
        file = self.machine.device
        text = file.read_text()
        file.write_text(text.replace("others : connections.customer {\n", IKE_V2))
        socket = file.parent / "charon.vici"
        load = ["swanctl", "--load-all", "--noprompt", "--file", file, "--uri", f"unix://{socket}"]
        subprocess.run(load, capture_output=True, check=True)
        return re.findall(r'secret = "(.*)"', text)[0]

    def _fill_in(self, tunnel: int, key: str) -> None:
        network = f"192.168.{NETWORKS[tunnel]}"
        settings = {**SETTINGS, "presharedKey": key, "friendlyName": f"Office {tunnel}"}
        self._call(CONTEXT, "editObject", settings, on=tunnel)
        template = {"networkIdentifier": f"{network}.0", "cidr": 24}
        subnet = self._call("Network_Customer_Subnet", "createObject", template)["id"]
        self._call(CONTEXT, "addCustomerSubnetToNetworkTunnel", subnet, on=tunnel)
        if tunnel not in self._addresses:
            (block,) = self._call(CONTEXT, "getStaticRouteSubnets", on=tunnel)
            self._addresses[tunnel] = block["networkIdentifier"]
        self._translate(tunnel, self._addresses[tunnel], f"{network}.15")

    def _attach_hosted_subnet(self, tunnel: int) -> None:
        subnets = self._call("Account", "getPrivateSubnets")
        (hosted,) = [row["id"] for row in subnets if row["networkIdentifier"] == "10.2.0.0"]
        self._call(CONTEXT, "addPrivateSubnetToNetworkTunnel", hosted, on=tunnel)

    def _translate(self, tunnel: int, internal: str, customer: str) -> None:
        row = {"internalIpAddress": internal, "customerIpAddress": customer, "notes": "database"}
        self._call(CONTEXT, "createAddressTranslation", row, on=tunnel)

    def _apply(self, tunnel: int, trial_seconds: int = 0) -> None:
        """Press Apply Configurations and wait for the outcome."""
        trial = {"keep": "on", "keep_seconds": str(trial_seconds)} if trial_seconds else {}
        self._post(tunnel, "apply", trial)
        unfinished = "advancedConfigurationFlag"
        wait_for(
            lambda: not self._call(CONTEXT, "getObject", on=tunnel)[unfinished], PATIENCE_SECONDS
        )

    def _wait_until_at_rest(self) -> None:
        """Return when no first rekey is due and charon is given no command for a while."""
        due = "SELECT tunnel_id FROM vpnportal_revision WHERE first_rekey = 'due'"
        wait_for(lambda: not self.machine.rows(f"{due} AND outcome = 'live'"), PATIENCE_SECONDS)
        while True:
            log = self.machine.charon_log()
            time.sleep(REST_SECONDS)
            if not log.commands():
                return

    def _call(self, service: str, method: str, *arguments: Any, **options: Any) -> Any:
        return json.loads(self._script.call(service, method, *arguments, **options))

    def _post(self, tunnel: int, action: str, fields: dict[str, str], field: str = "") -> None:
        answer = self._person.post(f"/tunnels/{tunnel}/{action}/", fields, field)
        assert answer.status == 200, answer
