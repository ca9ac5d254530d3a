"""Two configurations of one tunnel that differ in everything, and a peer that takes both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.running_portal import RunningPortal
from tests.system.faults.person import Answer, Person

SHIPPED, EITHER = "aes256-sha256-modp1536\n", "aes256-sha256-modp1536, aes128-sha256-modp1536\n"
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
    """What a person types; `internal` is what a server calls the customer's computer."""

    encryption: str
    keylife: int
    subnets: tuple[str, ...]
    internal: str
    customer: str

    @property
    def bits(self) -> str:
        """The key size as charon lists it."""
        return self.encryption.removeprefix("AES")


# With the second, what runs for the first goes on until its successor carries the traffic; back
# again, what leads to the subnet that is gone ends at once.
TEN, TWENTY = "192.168.10.0/24", "192.168.20.0/24"
ONE = Settings("AES256", 3600, (TEN,), "10.1.255.92", "192.168.10.15")
OTHER = Settings("AES128", 7200, (TEN, TWENTY), "10.1.255.93", "192.168.20.15")
BOTH = (ONE, OTHER)


def other_than(settings: Settings) -> Settings:
    return OTHER if settings == ONE else ONE


def teach_peer(portal: RunningPortal) -> None:
    """The customer's device accepts either configuration, whichever is asked for."""
    device: Path = portal.state / "lab" / "peer" / "swanctl.conf"
    text = device.read_text().replace(SHIPPED, EITHER)
    device.write_text(text.replace("        children {", SECOND_CHILD, 1))
    uri = f"unix://{portal.state}/lab/peer/charon.vici"
    portal.run("swanctl", "--load-all", "--uri", uri, "--file", str(device), check=True)


def type_in(person: Person, settings: Settings, kept: dict[str, int]) -> None:
    """Everything of these settings, field by field; `kept` are the ids of the draft's subnets."""
    old = other_than(settings)
    fields = {
        "phase_one_encryption": ("phase_one", settings.encryption),
        "phase_two_encryption": ("phase_two", settings.encryption),
        "phase_two_keylife": ("phase_two", str(settings.keylife)),
    }
    for name, (fieldset, value) in fields.items():
        _expect(person.post("/tunnels/1/edit/", {"fieldset": fieldset, name: value}, name))
    for network in set(settings.subnets) - kept.keys():
        ip, cidr = network.split("/")
        _expect(person.post("/tunnels/1/remote-subnets/", {"ip": ip, "cidr": cidr}, "ip"))
    rows = {
        f"customer-{old.internal}": "",
        f"name-{old.internal}": "",
        f"customer-{settings.internal}": settings.customer,
        f"name-{settings.internal}": f"host of {settings.encryption}",
    }
    _expect(person.post("/tunnels/1/translations/", rows, "translations"))
    for network in kept.keys() - set(settings.subnets):
        removed = f"/tunnels/1/remote-subnets/{kept[network]}/remove/"
        _expect(person.post(removed, {}, "remove"))


def _expect(answer: Answer) -> None:
    assert answer.status == 200, answer
