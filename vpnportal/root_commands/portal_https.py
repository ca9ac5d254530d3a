"""A question of a gateway to the portal: JSON over HTTPS, with the portal's own authority."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from vpnportal.root_commands.output import Failure

SECONDS = 40
MAX_ANSWER = 64 << 10


@dataclass(frozen=True, slots=True)
class Portal:
    """The portal at an address such as https://vpn.example.net:8443.

    Only a certificate of `authority`, in PEM, is accepted. No other authority of the system counts.
    """

    address: str
    authority: str

    def ask(self, operation: str, values: dict[str, str]) -> dict[str, Any]:
        """Return the answer to a POST. Raises Failure with the portal's sentence, or the reason."""
        parts = urlsplit(self.address)
        host, port = parts.hostname or "", parts.port or 443
        connection = http.client.HTTPSConnection(
            host, port, timeout=SECONDS, context=self._context()
        )
        headers = {"Content-Type": "application/json"}
        try:
            connection.request("POST", f"/gateway/{operation}", json.dumps(values), headers)
            response = connection.getresponse()
            answer = json.loads(response.read(MAX_ANSWER))
        except ssl.SSLCertVerificationError as error:
            raise Failure(
                f"{self.address} is not the portal of this file: {error.verify_message}. Compare "
                "the address, and the clocks of both machines."
            ) from None
        except OSError as error:
            reason = error.strerror or str(error) or "no answer in time"
            raise Failure(
                f"The portal does not answer at {self.address}: {reason}. Its web server must "
                "listen there, and no firewall may be between."
            ) from None
        except (ValueError, RecursionError, http.client.HTTPException):
            raise Failure(
                f"{self.address} does not answer as a portal. Look at the log of its web server."
            ) from None
        finally:
            connection.close()
        if not isinstance(answer, dict) or response.status != http.client.OK:
            text = answer.get("error") if isinstance(answer, dict) else None
            raise Failure(str(text or f"The portal answers with the status {response.status}."))
        return answer

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(cadata=self.authority)
        except ssl.SSLError:
            raise Failure("The authority of the portal is not a certificate in PEM.") from None
        return context
