"""Two configurations of a tunnel that share no setting, and a peer that accepts both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.running_portal import RunningPortal
from tests.system.faults.person import Answer, Person

SHIPPED_PROPOSAL = "aes256-sha256-modp1536\n"
BOTH_PROPOSALS = "aes256-sha256-modp1536, aes128-sha256-modp1536\n"
SECOND_CHILD = """        children {
            second {
                local_ts = 192.168.20.0/24
                remote_ts = 10.2.0.0/24
                esp_proposals = aes256-sha256-modp1536, aes128-sha256-modp1536
                rekey_time = 3240s
                life_time = 3600s
            }"""


@dataclass(frozen=True)
class Settings:
    """The values that a person enters; servers reach `customer` under the address `internal`."""

    encryption: str
    keylife: int
    subnets: tuple[str, ...]
    internal: str
    customer: str

    @property
    def bits(self) -> str:
        """The key size as charon lists it."""
        return self.encryption.removeprefix("AES")


# From FIRST to SECOND the worker keeps the old CHILD_SA until its successor carries traffic. From
# SECOND to FIRST it terminates the CHILD_SA of the removed subnet at once.
TEN, TWENTY = "192.168.10.0/24", "192.168.20.0/24"
FIRST = Settings("AES256", 3600, (TEN,), "10.1.255.92", "192.168.10.15")
SECOND = Settings("AES128", 7200, (TEN, TWENTY), "10.1.255.93", "192.168.20.15")
BOTH = (FIRST, SECOND)


def other_than(settings: Settings) -> Settings:
    return SECOND if settings == FIRST else FIRST


def make_peer_accept_both(portal: RunningPortal) -> None:
    """Load a configuration into the customer's device that accepts FIRST and SECOND."""
    device: Path = portal.state / "lab" / "peer" / "swanctl.conf"
    text = device.read_text().replace(SHIPPED_PROPOSAL, BOTH_PROPOSALS)
    device.write_text(text.replace("        children {", SECOND_CHILD, 1))
    uri = f"unix://{portal.state}/lab/peer/charon.vici"
    portal.run("swanctl", "--load-all", "--uri", uri, "--file", str(device), check=True)


def enter(person: Person, settings: Settings, subnet_ids: dict[str, int]) -> None:
    """Enter these settings field by field; `subnet_ids` has the draft's customer subnets."""
    old = other_than(settings)
    fields = {
        "phase_one_encryption": ("phase_one", settings.encryption),
        "phase_two_encryption": ("phase_two", settings.encryption),
        "phase_two_keylife": ("phase_two", str(settings.keylife)),
    }
    for name, (fieldset, value) in fields.items():
        _expect_success(person.post("/tunnels/1/edit/", {"fieldset": fieldset, name: value}, name))
    for network in set(settings.subnets) - subnet_ids.keys():
        ip, cidr = network.split("/")
        added = {"ip": ip, "cidr": cidr}
        _expect_success(person.post("/tunnels/1/remote-subnets/", added, "ip"))
    rows = {
        f"customer-{old.internal}": "",
        f"name-{old.internal}": "",
        f"customer-{settings.internal}": settings.customer,
        f"name-{settings.internal}": f"host of {settings.encryption}",
    }
    _expect_success(person.post("/tunnels/1/translations/", rows, "translations"))
    for network in subnet_ids.keys() - set(settings.subnets):
        remove_url = f"/tunnels/1/remote-subnets/{subnet_ids[network]}/remove/"
        _expect_success(person.post(remove_url, {}, "remove"))


def _expect_success(answer: Answer) -> None:
    assert answer.status == 200, answer
