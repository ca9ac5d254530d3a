"""The files of an installation. /etc/vpnportal and all folders in it are root's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """The files below a root folder, which is / but in tests."""

    root: Path = Path("/")

    @property
    def etc(self) -> Path:
        """The folder of the settings."""
        return self.root / "etc" / "vpnportal"

    @property
    def keys(self) -> Path:
        """The folder of the key files, which only root reads."""
        return self.etc / "keys"

    @property
    def authority(self) -> Path:
        """The certificate of the authority, which everyone may read."""
        return self.etc / "tls" / "ca.pem"

    @property
    def authority_key(self) -> Path:
        """The key of the authority. Its name is not *.key, so that no service gets it."""
        return self.keys / "ca.secret"

    @property
    def client(self) -> Path:
        """The certificate of this machine as a client of database and broker, with its key."""
        return self.keys / "tls.key"

    @property
    def portal_settings(self) -> Path:
        """The settings of the portal, with passwords."""
        return self.etc / "portal.env"

    @property
    def gateway_settings(self) -> Path:
        """The settings of a gateway, with passwords."""
        return self.etc / "gateway.env"

    @property
    def signer_settings(self) -> Path:
        """The settings of the signer, with a password."""
        return self.etc / "enrolment.env"

    @property
    def certificate_settings(self) -> Path:
        """The settings of the renewal on the portal, with a password."""
        return self.etc / "certificates.env"

    def server(self, service: str) -> Path:
        """Return the certificate of the portal with its key, for `postgres`, `redis` or `tls`."""
        return self.etc / service / "portal.pem"


HERE = Places()
