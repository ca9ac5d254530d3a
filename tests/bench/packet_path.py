"""The path of packets through kernel ESP: ping, one TCP stream, and 64-byte packets a second.

Run as a program, it measures and prints each figure as a line of JSON. `bin/bench path` runs it in
the laboratory's kernel (bin/kernel) if the machine's own kernel has no ESP. There all hosts share
one processor, so the figures are those of the whole path, from the server to the customer.

The floor is the same ESP and conntrack with one static pair in nftables. Cases with one tunnel are
measured in one laboratory, which gets the rules of each case in turn: equal laboratories differ by
up to a tenth, because their memory lies elsewhere. All laboratories stand at the same time.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from ipaddress import IPv4Address, IPv4Network
from itertools import count
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vpnportal.settings")
    django.setup()

from lab.dataplane import kernel_has_esp
from lab.namespaces import inside
from lab.topology import CONCENTRATOR, PEER, SERVER
from tests.bench.bare_calls import BareCalls
from tests.bench.bench import Bench
from tests.bench.bench_lab import BenchLab
from tests.bench.figures import Figure, at_least, at_most, in_turn, median, without_goal
from tests.bench.one_change import bare, ours
from tests.tunnel_elements import Tunnel
from vpnportal.domain.gateway_config.nat_elements import NatElements, packed
from vpnportal.gateway.netfilter.ruleset import DECRYPTED_MARK

ROOT = Path(__file__).resolve().parent.parent.parent
ROUNDS, SECONDS, PINGS, PACKETS = 5, 2, 500, 100_000
CHANGES = 15
# The guest holds the states of 2,000 tunnels at both ends, and ten charons.
GUEST_MEBIBYTES = "6000"
TUNNELS, MAPPINGS_EACH = 2_000, 25
# Tunnels whose hosted subnet is the same, too, such as a subnet of services of the provider.
TUNNELS_TO_A_SERVICE = 200
SHARED_NETWORK = IPv4Network("192.168.1.0/24")
FIRST_INTERNAL, FIRST_CUSTOMER = int(IPv4Address("13.0.0.1")), int(IPv4Address("14.0.0.1"))
# A UDP header without content in an Ethernet frame of 60 bytes, 64 with its check sum.
FRAME = """\
{{
eth(da={gateway}, sa={server}, type=0x800),
ipv4(saddr={source}, daddr={target}, ttl=64, proto=17),
udp(sport=4000, dport=4001),
fill(0, 18)
}}
"""
# Before the packet filter and conntrack of the computer.
COUNT_SMALL_PACKETS = """\
table ip bench {
    counter received { }
    chain early {
        type filter hook prerouting priority -500;
        udp dport 4001 counter name received drop
    }
}
"""
# The same ESP with one static pair, and without translation and conntrack.
ONE_PAIR = """\
table ip floor {{
    chain early {{
        type filter hook prerouting priority -450;
        meta ipsec exists meta mark set meta mark | {decrypted:#x}
        ip daddr {internal} meta mark set {mark}
    }}
    chain prerouting {{
        type nat hook prerouting priority -100;
        ip daddr {internal} dnat to {customer}
    }}
    chain postrouting {{
        type nat hook postrouting priority 100;
        ip saddr {customer} meta mark & {decrypted:#x} != 0 snat to {internal}
    }}
}}
"""
NO_PAIR = """\
table ip floor {{
    chain early {{
        type filter hook prerouting priority -450;
        ip daddr {customer} meta mark set {mark}
    }}
}}
"""
_file_numbers = count(1)
QUANTITIES = (("ping", "ms"), ("TCP stream", "Mbit/s"), ("64-byte packets", "1/s"))


def run(_: Bench) -> Iterator[Figure]:
    """Measure on kernel ESP: on this kernel if it has it, else in the laboratory's."""
    command = [sys.executable, "-m", "tests.bench.packet_path"]
    if not kernel_has_esp():
        guest = (str(ROOT / "bin" / "kernel"), "run", "--memory", GUEST_MEBIBYTES)
        command = [*guest, *command]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as measuring:
        assert measuring.stdout
        for text in measuring.stdout:
            if text.startswith("{"):
                yield Figure(**json.loads(text))
            else:
                print(text, end="", flush=True)
    if measuring.returncode:
        raise RuntimeError(f"The measurement ended with status {measuring.returncode}")


class MeasuredPath:
    """The path of packets of a laboratory's tunnel, from the server to the customer.

    `rules` replace the portal's ruleset, which is else complemented by mappings of another tunnel
    up to `mappings`. A path without translation leads to the customer's address.
    """

    def __init__(
        self, lab: BenchLab, number: int = 1, *, rules: str = "", mappings: int = 1
    ) -> None:
        self._lab, self._rules, self._mappings = lab, rules, mappings
        spec = lab.specs[number - 1]
        translation = spec.translations[0]
        self._names = {
            "internal": translation.internal,
            "customer": translation.customer,
            "mark": number,
            "decrypted": DECRYPTED_MARK,
        }
        self._source = str(lab.many.peers[number - 1].server)
        self._target = str(translation.customer if rules == NO_PAIR else translation.internal)
        self._frames = lab.many.folder / f"frames-{next(_file_numbers)}"
        addresses = {"server": self._hardware_address(SERVER)}
        addresses["gateway"] = self._hardware_address(CONCENTRATOR)
        text = FRAME.format(target=self._target, source=self._source, **addresses)
        self._frames.write_text(text)

    def on(self, host: str, *command: str) -> str:
        """Run a command on a host and return its output."""
        argv = inside(self._lab.many.prefix, host, list(command))
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def measure(self) -> tuple[float, float, float]:
        """Return milliseconds of a ping, Mbit/s of a stream, and small packets a second."""
        self._set_rules()
        self._ping(50)
        return self._ping(PINGS), self._stream(), self._small_packets()

    def _set_rules(self) -> None:
        """Replace all rules, and the flows that were made with them."""
        for table in ("vpnportal", "floor"):
            self.on(CONCENTRATOR, "nft", f"add table ip {table}; delete table ip {table}")
        if self._rules:
            self.on(CONCENTRATOR, "nft", self._rules.format(**self._names))
        else:
            with self._lab.inside():
                self._lab.converge()
                BareCalls(self._lab.socket).translate(add=mappings_of_another(self._mappings - 1))
        self.on(CONCENTRATOR, "conntrack", "--flush")

    def _ping(self, times: int) -> float:
        ping = ("ping", "-n", "-i", "0.002", "-c", str(times), "-I", self._source, self._target)
        output = self.on(SERVER, *ping)
        return middle(float(time) for time in re.findall(r"time=([\d.]+) ms", output))

    def _stream(self) -> float:
        with self._receiver():
            client = ("iperf3", "--json", "--time", str(SECONDS), "--bind", self._source)
            output = self.on(SERVER, *client, "--client", self._target)
        return json.loads(output)["end"]["sum_received"]["bits_per_second"] / 1e6

    @contextmanager
    def _receiver(self) -> Iterator[None]:
        """Run the iperf3 server on the customer's computer."""
        command = inside(self._lab.many.prefix, PEER, ["iperf3", "--server", "--one-off"])
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        serving = subprocess.Popen(command, **quiet)
        time.sleep(0.5)
        try:
            yield
        finally:
            serving.terminate()
            serving.wait(10)

    def _small_packets(self) -> float:
        before, began = self._received(), time.perf_counter()
        frames = ("--conf", str(self._frames), "--num", str(PACKETS))
        self.on(SERVER, "trafgen", "--dev", "hosted", "--cpus", "1", "--no-sock-mem", *frames)
        return (self._received() - before) / (time.perf_counter() - began)

    def _received(self) -> int:
        counters = json.loads(self.on(PEER, "nft", "--json", "list", "counters"))["nftables"]
        return next(item["counter"]["packets"] for item in counters if "counter" in item)

    def _hardware_address(self, host: str) -> str:
        links = json.loads(self.on(host, "ip", "--json", "link", "show", "dev", "hosted"))
        return str(links[0]["address"])


def measure_paths() -> Iterator[Figure]:
    """Bring up all laboratories and yield the figures."""
    with ExitStack() as stack:
        many = stack.enter_context(laboratory("m", TUNNELS, shared=True))
        few = stack.enter_context(laboratory("f", 10))
        yield from _path_figures(many)
        with_one_network = _changes(few, many)
    # One after the other: the guest has no room for both.
    with laboratory("g", 10) as few, laboratory("o", TUNNELS) as many:
        with_own_networks = _changes(few, many)
    yield from _change_figures(with_one_network, with_own_networks)


@contextmanager
def laboratory(name: str, tunnels: int, shared: bool = False, **more: Any) -> Iterator[BenchLab]:
    """Run a laboratory whose tunnels are all up. With `shared`, they have one remote network.

    The folder of another benchmark's laboratory is still there: the names of these begin with a p.
    """
    network = {"shared_network": SHARED_NETWORK} if shared else {}
    mappings = MAPPINGS_EACH if tunnels == TUNNELS else 1
    more = {"own_hosted": tunnels == TUNNELS, **network, **more}
    with BenchLab("p" + name, tunnels, tunnels, mappings=mappings, **more).running() as lab:
        with lab.inside():
            lab.converge()
        run_checked(inside(lab.many.prefix, PEER, ["nft", COUNT_SMALL_PACKETS]))
        yield lab


def _path_figures(many: BenchLab) -> Iterator[Figure]:
    with ExitStack() as stack:
        service = stack.enter_context(laboratory("s", TUNNELS_TO_A_SERVICE, shared=True))
        one, another = (stack.enter_context(laboratory(name, 1)) for name in "ab")
        floor = MeasuredPath(one, rules=ONE_PAIR)
        compared_paths = {
            "1 mapping": MeasuredPath(one),
            "10,000 mappings": MeasuredPath(one, mappings=10_000),
            "50,000 mappings": MeasuredPath(one, mappings=50_000),
            "the first of 2,000 tunnels with one network": MeasuredPath(many),
            "the last of 2,000 tunnels with one network": MeasuredPath(many, TUNNELS),
        }
        # The kernel walks the policies with equal networks (docs/decisions/031).
        shown_paths = {
            "one static pair in an equal laboratory": MeasuredPath(another, rules=ONE_PAIR),
            "the last of 200 tunnels to one service": MeasuredPath(service, TUNNELS_TO_A_SERVICE),
        }
        untranslated = MeasuredPath(one, rules=NO_PAIR)
        every = (floor, untranslated, *compared_paths.values(), *shown_paths.values())
        results = in_turn(ROUNDS, *(path.measure for path in every))
        medians = [[median(column) for column in zip(*result, strict=True)] for result in results]
        one_pair, plain, *others = medians
        for name, values in zip((*compared_paths, *shown_paths), others, strict=True):
            for (quantity, unit), value, of_bare in zip(QUANTITIES, values, one_pair, strict=True):
                figure = compared if name in compared_paths else without_goal
                yield figure(f"{quantity}, {name}, against one static pair", value, of_bare, unit)
        for (quantity, unit), value, of_plain in zip(QUANTITIES, others[0], plain, strict=True):
            yield without_goal(f"{quantity}, beside ESP without translation", value, of_plain, unit)


class Changes(NamedTuple):
    """Milliseconds of one change with ten and with 2,000 tunnels, and those of the bare calls."""

    few: float
    few_bare: float
    many: float
    many_bare: float


def _changes(few: BenchLab, many: BenchLab) -> Changes:
    return Changes(*map(median, in_turn(CHANGES, ours(few), bare(few), ours(many), bare(many))))


def _change_figures(shared: Changes, own: Changes) -> Iterator[Figure]:
    """Yield what equal networks cost a change, and what the worker adds to the bare calls.

    charon walks its IKE_SAs for each command. In the guest this takes the worker's only processor.
    """
    name = "one change, 2,000 tunnels with one network"
    yield at_most(f"{name}, against networks of their own", shared.many, 1.2, own.many)
    yield without_goal(f"{name}, beside 10", shared.many, shared.few, "ms")
    yield without_goal(f"{name}, beside bare calls", shared.many, shared.many_bare, "ms")
    yield without_goal(
        "one change, 10 tunnels, beside bare calls", shared.few, shared.few_bare, "ms"
    )


def run_checked(command: list[str]) -> None:
    """Run a command. Raises CalledProcessError if it fails."""
    subprocess.run(command, check=True)


def middle(values: Iterable[float]) -> float:
    """Return the mean of the middle half: `ping` prints microseconds, too coarse for a median."""
    ordered = sorted(values)
    return mean(ordered[len(ordered) // 4 : -len(ordered) // 4])


def mappings_of_another(number: int) -> NatElements:
    """Return mappings of a tunnel without packets."""
    pairs = [packed(FIRST_INTERNAL + n, FIRST_CUSTOMER + n) for n in range(number)]
    return NatElements.of_tunnels([Tunnel(2, pairs)])


def compared(name: str, value: float, floor: float, unit: str) -> Figure:
    """Return a figure whose goal is at most 1.05 times the time of the floor."""
    if unit == "ms":
        return at_most(name, value, 1.05, floor, unit)
    return at_least(name, value, 1 / 1.05, floor, unit)


def main() -> None:
    """Print the figures as lines of JSON."""
    logging.disable(logging.INFO)
    for figure in measure_paths():
        print(json.dumps(asdict(figure)), flush=True)


if __name__ == "__main__":
    main()
