"""Ping and throughput through one mapping, with nothing else in the maps and with 50,000."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

from lab.namespaces import inside
from lab.topology import PEER, SERVER
from tests.bench.bare import Bare
from tests.bench.bench import Bench
from tests.bench.figures import Figure, in_turn, median, within
from tests.bench.stage import Stage
from vpnportal.domain.gateway_config.nat_elements import NatElement, NatMap

ROUNDS, SECONDS, PINGS, OTHERS = 15, 2, 500, 49_999
KEYS, VALUES = int(IPv4Address("13.0.0.1")), int(IPv4Address("14.0.0.1"))
ADDED = [
    element
    for n in range(OTHERS)
    for element in (
        NatElement(NatMap.INBOUND, KEYS + n, VALUES + n),
        NatElement(NatMap.OUTBOUND, VALUES + n, KEYS + n),
    )
]


def run(bench: Bench) -> Iterator[Figure]:
    """The two follow each other closely, because the machine is never the same for long."""
    with Stage("p", 1, 1, mappings=1).running() as stage, receiver(stage):
        with_one, with_many = in_turn(ROUNDS, lambda: both(stage), lambda: beside_others(stage))
    for index, (what, unit) in enumerate((("ping", "ms"), ("throughput", "Mbit/s"))):
        few, many = (median(one[index] for one in those) for those in (with_one, with_many))
        yield within(f"{what} with 50,000 mappings, against 1", many, 0.05, few, unit)


def both(stage: Stage) -> tuple[float, float]:
    """Ping and throughput; a first few pings wake everything up."""
    ping(stage, 50)
    return ping(stage, PINGS), throughput(stage)


def beside_others(stage: Stage) -> tuple[float, float]:
    """The same with the other mappings there; they are gone again afterwards."""
    with stage.inside():
        Bare(stage.socket).translate(add=ADDED)
    try:
        return both(stage)
    finally:
        with stage.inside():
            Bare(stage.socket).translate(remove=ADDED)


def target(stage: Stage) -> str:
    """What a server uses as the address of the customer's computer."""
    return str(stage.specs[0].translations[0].internal)


def ping(stage: Stage, times: int) -> float:
    """The median time there and back, in ms."""
    ask = ["ping", "-n", "-i", "0.002", "-c", str(times), target(stage)]
    command = inside(stage.many.prefix, SERVER, ask)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return median(float(time) for time in re.findall(r"time=([\d.]+) ms", said))


def throughput(stage: Stage) -> float:
    """One TCP stream from the server to the customer's computer, in Mbit/s as received."""
    ask = ["iperf3", "--json", "--time", str(SECONDS), "--client", target(stage)]
    command = inside(stage.many.prefix, SERVER, ask)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(said)["end"]["sum_received"]["bits_per_second"] / 1e6


@contextmanager
def receiver(stage: Stage) -> Iterator[None]:
    """iperf3 on the customer's computer."""
    command = inside(stage.many.prefix, PEER, ["iperf3", "--server"])
    serving = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    try:
        yield
    finally:
        serving.terminate()
        serving.wait(10)
