"""Ping and throughput through one mapping, with 1 and with 50,000 mappings in the maps."""

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
from tests.bench.bare_calls import BareCalls
from tests.bench.bench import Bench
from tests.bench.bench_lab import BenchLab
from tests.bench.figures import Figure, in_turn, median, within
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
    """Measure both in turn, because the load of the machine varies."""
    with BenchLab("p", 1, 1, mappings=1).running() as lab, receiver(lab):
        with_one, with_many = in_turn(ROUNDS, lambda: measure(lab), lambda: measure_with_many(lab))
    for index, (quantity, unit) in enumerate((("ping", "ms"), ("throughput", "Mbit/s"))):
        few, many = (
            median(result[index] for result in results) for results in (with_one, with_many)
        )
        yield within(f"{quantity} with 50,000 mappings, against 1", many, 0.05, few, unit)


def measure(lab: BenchLab) -> tuple[float, float]:
    """Return ping and throughput, after some pings to warm up."""
    ping(lab, 50)
    return ping(lab, PINGS), throughput(lab)


def measure_with_many(lab: BenchLab) -> tuple[float, float]:
    """Add the other mappings, measure, and remove them again."""
    with lab.inside():
        BareCalls(lab.socket).translate(add=ADDED)
    try:
        return measure(lab)
    finally:
        with lab.inside():
            BareCalls(lab.socket).translate(remove=ADDED)


def target(lab: BenchLab) -> str:
    """Return the internal address of the customer's computer."""
    return str(lab.specs[0].translations[0].internal)


def ping(lab: BenchLab, times: int) -> float:
    """Return the median round-trip time in ms."""
    ping_command = ["ping", "-n", "-i", "0.002", "-c", str(times), target(lab)]
    command = inside(lab.many.prefix, SERVER, ping_command)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return median(float(time) for time in re.findall(r"time=([\d.]+) ms", output))


def throughput(lab: BenchLab) -> float:
    """Return the received Mbit/s of a TCP stream from the server to the customer's computer."""
    client_command = ["iperf3", "--json", "--time", str(SECONDS), "--client", target(lab)]
    command = inside(lab.many.prefix, SERVER, client_command)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(output)["end"]["sum_received"]["bits_per_second"] / 1e6


@contextmanager
def receiver(lab: BenchLab) -> Iterator[None]:
    """Run the iperf3 server on the customer's computer."""
    command = inside(lab.many.prefix, PEER, ["iperf3", "--server"])
    serving = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    try:
        yield
    finally:
        serving.terminate()
        serving.wait(10)
