"""Model fields for sealed secrets and IPv4 networks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models

from vpnportal import encryption
from vpnportal.domain.addresses import parse_subnet

if TYPE_CHECKING:
    # Type parameters of set and get, which Django's fields have only in the type checker.
    _SealedText = models.TextField["Sealed", "Sealed"]
    _NetworkText = models.CharField[IPv4Network, IPv4Network]
else:
    _SealedText, _NetworkText = models.TextField, models.CharField


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted secret from the database. Reading the secret takes an explicit `open`."""

    token: str = ""

    @classmethod
    def of(cls, text: str, context: str, reader: encryption.Reader | None = None) -> Sealed:
        """Return `text` sealed for the row that `context` names; empty text is no secret.

        With a reader it is an envelope, which that gateway opens, too.
        """
        return cls(encryption.seal(text, context, reader)) if text else cls()

    def open(self, context: str) -> str:
        """Return the decrypted text, or "" without a secret. Raises CannotOpen as `unseal` does."""
        return encryption.unseal(self.token, context) if self.token else ""

    def for_other(self, context: str, reader: encryption.Reader) -> Sealed:
        """Return an envelope of the same secret for another gateway. Raises CannotOpen."""
        return Sealed(encryption.seal_for_other(self.token, context, reader))

    def for_current_key(self, context: str) -> Sealed:
        """Return the same secret, sealed with the portal's current key. Raises CannotOpen."""
        return Sealed(encryption.seal_for_current_key(self.token, context))

    @property
    def is_envelope(self) -> bool:
        """True if a gateway opens the secret with a key of its own."""
        return encryption.is_envelope(self.token)

    @property
    def key_id(self) -> str:
        """The id of the portal's key that opens the secret, as in `encryption.key_ids`."""
        return encryption.key_id(self.token)

    @property
    def gateway_key_id(self) -> str:
        """The id of the gateway's key that opens the secret; "" without one."""
        return encryption.gateway_key_id(self.token)

    def __bool__(self) -> bool:
        return bool(self.token)

    def __repr__(self) -> str:
        return "<sealed>" if self.token else "<empty>"

    __str__ = __repr__


class SealedField(_SealedText):
    """A text column for `Sealed` values. Model code encrypts and decrypts them for each row."""

    def from_db_value(self, value: str, *_: Any) -> Sealed:
        return Sealed(value)

    def to_python(self, value: Any) -> Sealed:
        return value if isinstance(value, Sealed) else Sealed(value or "")

    def get_prep_value(self, value: Any) -> str:
        return self.to_python(value).token

    def value_to_string(self, obj: models.Model) -> str:
        return self.get_prep_value(self.value_from_object(obj))


# Lists read the same few networks thousands of times. The objects are immutable.
_network = lru_cache(maxsize=4096)(IPv4Network)


class NetworkField(_NetworkText):
    """A column of `ipaddress.IPv4Network`, stored as text such as `10.1.255.92/30`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"max_length": 18, **kwargs})

    def from_db_value(self, value: str | None, *_: Any) -> IPv4Network | None:
        return None if value is None else _network(value)

    def to_python(self, value: Any) -> IPv4Network | None:
        return value if value is None or isinstance(value, IPv4Network) else IPv4Network(value)

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else str(self.to_python(value))

    def run_validators(self, value: Any) -> None:
        super().run_validators(str(value))

    def formfield(self, **options: Any) -> Any:
        return super().formfield(**{"form_class": NetworkInput, **options})


class NetworkInput(forms.CharField):
    """A form field for a network such as `10.1.255.92/30`. A single address is a /32."""

    def clean(self, value: Any) -> Any:
        address, _, prefix = str(super().clean(value)).partition("/")
        try:
            return parse_subnet(address, prefix or "32")
        except ValueError as error:
            raise ValidationError(str(error)) from None


class NetworkEndField(models.BigIntegerField):
    """The first or last address of the row's `network`, as a number for overlap queries."""

    def __init__(self, *args: Any, last: bool = False, **kwargs: Any) -> None:
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)
        self.last = last

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "last": self.last}

    def pre_save(self, model_instance: models.Model, add: bool) -> int:
        network = IPv4Network(model_instance.network)  # type: ignore[attr-defined]
        value = int(network.broadcast_address if self.last else network.network_address)
        setattr(model_instance, self.attname, value)
        return value
