"""The routing daemons of a laboratory with a router: BIRD, with the configuration of examples/."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab.keeper import Keeper
from lab.topology import CONCENTRATORS, ROUTER, ROUTER_TRANSIT, TRANSIT_SIDE

BIRD = "bird"
EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "bird"
# The addresses in examples/ are those of the laboratory.
ADDRESSES = {ROUTER: ROUTER_TRANSIT, **dict(zip(CONCENTRATORS, TRANSIT_SIDE, strict=True))}


@dataclass(frozen=True, slots=True)
class RoutingDaemon:
    """The BIRD of the router or of a gateway; its files are in `folder`."""

    prefix: str
    host: str
    folder: Path

    @property
    def control(self) -> Path:
        """The socket for the program birdc."""
        return self.folder / "bird.ctl"

    def start(self) -> None:
        """Write the configuration, and start BIRD under a bin/keep."""
        self.folder.mkdir(parents=True, exist_ok=True)
        example = "router.conf" if self.host == ROUTER else "gateway.conf"
        shutil.copyfile(EXAMPLES / example, self.folder / "bird.conf")
        (self.folder / "site.conf").write_text(self._site())
        command = [BIRD, "-f", "-c", str(self.folder / "bird.conf"), "-s", str(self.control)]
        self._keeper().start(command, {})

    def stop(self) -> None:
        """Terminate BIRD and its bin/keep, if they are running."""
        self._keeper().stop()

    def _keeper(self) -> Keeper:
        return Keeper(self.prefix, self.host, BIRD, self.folder)

    def _site(self) -> str:
        """Return the example's values with this host's address, and with the log on stderr."""
        text = (EXAMPLES / "site.conf").read_text().replace("log syslog", "log stderr")
        return re.sub(
            "define MY_ADDRESS = .*;", f"define MY_ADDRESS = {ADDRESSES[self.host]};", text
        )
