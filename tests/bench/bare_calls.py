"""Bare calls, the floors of the figures: vici commands and nftables transactions."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import vici
from nftables import Nftables

from vpnportal.domain.gateway_config.desired import Connection, Desired, Secret
from vpnportal.domain.gateway_config.names import tunnel_id
from vpnportal.domain.gateway_config.nat_elements import (
    ADDRESS_BITS,
    VALUE,
    NatElement,
    NatMap,
    interval_of,
)

PLACE = {"family": "ip", "table": "vpnportal"}


class BareCalls:
    """An open vici session and libnftables, in the namespace of the calling thread."""

    def __init__(self, path: Path | str) -> None:
        channel = socket.socket(socket.AF_UNIX)
        channel.connect(str(path))
        self.vici = vici.Session(channel)
        self._nft = Nftables()
        self._nft.set_json_output(True)
        self._nft.set_handle_output(False)

    def load(self, connection: Connection, secret: Secret, **more: str) -> None:
        """Send load-shared and load-conn; `more` are settings of every child."""
        owners = list(secret.owners)
        self.vici.load_shared(
            {"id": secret.id, "type": "IKE", "owners": owners, "data": secret.data}
        )
        settings: dict[str, Any] = {**connection.settings}
        if more:
            children = settings["children"].items()
            settings["children"] = {name: {**child, **more} for name, child in children}
        self.vici.load_conn({connection.name: settings})

    def load_all(
        self, desired: Desired, which: Callable[[int], bool] = lambda _: True, **more: str
    ) -> None:
        """Load secret and connection of each tunnel whose id `which` accepts."""
        secrets = {secret.connection: secret for secret in desired.secrets.values()}
        for name, connection in desired.connections.items():
            if which(tunnel_id(name)):
                self.load(connection, secrets[name], **more)

    def initiate(self, connection: Connection) -> None:
        """Send initiate for each child, without waiting for the negotiation."""
        for child in connection.children:
            list(self.vici.initiate({"ike": connection.name, "child": child, "timeout": "-1"}))

    def translate(self, remove: Iterable[NatElement] = (), add: Iterable[NatElement] = ()) -> None:
        """Remove and add elements in one transaction."""
        commands = [*_commands("delete", tuple(remove)), *_commands("add", tuple(add))]
        self._run(commands)

    def list_all(self) -> None:
        """List connections, SAs, secrets and map elements with the vici and nftables libraries."""
        list(self.vici.list_conns())
        list(self.vici.list_sas())
        self.vici.get_shared()
        for name in NatMap:
            json.loads(self._run([{"list": {"map": {**PLACE, "name": name}}}]))

    def _run(self, commands: list[dict[str, Any]]) -> str:
        status, output, error = self._nft.cmd(json.dumps({"nftables": commands}))
        if status:
            raise RuntimeError(error)
        return output


def _commands(verb: str, elements: tuple[NatElement, ...]) -> Iterable[dict[str, Any]]:
    for name in NatMap:
        pairs: list[Any] = [
            _key(element) if verb == "delete" else [_key(element), _value(element)]
            for element in elements
            if element.map is name
        ]
        if pairs:
            yield {verb: {"element": {**PLACE, "name": name, "elem": pairs}}}


def _key(element: NatElement) -> Any:
    if element.map is NatMap.OUTBOUND:
        return {"concat": [element.key >> ADDRESS_BITS, _text(element.key & VALUE)]}
    if element.map is NatMap.NETWORKS:
        return {"range": [_text(address) for address in interval_of(element.key)]}
    # The keys of these maps have no type of nftables for addresses.
    is_number = element.map in (NatMap.ZONE_OF, NatMap.PEERS)
    return element.key if is_number else _text(element.key)


def _value(element: NatElement) -> Any:
    has_address = element.map in (NatMap.INBOUND, NatMap.OUTBOUND)
    return _text(element.value) if has_address else element.value


def _text(address: int) -> str:
    return str(IPv4Address(address))
