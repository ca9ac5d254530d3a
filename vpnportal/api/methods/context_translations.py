"""SoftLayer_Network_Tunnel_Module_Context: its address translations, one or many at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from vpnportal import services
from vpnportal.api import lookup
from vpnportal.api.arguments import as_it_is, struct, structs
from vpnportal.api.calls import Caller
from vpnportal.api.faults import invalid, not_found
from vpnportal.api.methods.contexts import context, editable
from vpnportal.api.object_templates import row_edit_of, row_of
from vpnportal.api.serializers import DATA_TYPES
from vpnportal.api.types.addresses import TRANSLATION
from vpnportal.models import AddressTranslation, Tunnel

SHAPE = DATA_TYPES[TRANSLATION]
Template = Mapping[str, Any]


@context.method("createAddressTranslation", find=editable, takes=[struct], data_type=SHAPE)
def create(caller: Caller, tunnel: Tunnel, template: Template) -> AddressTranslation:
    """Translate one address more."""
    return create_several(caller, tunnel, [template])[0]


@context.method(
    "createAddressTranslations", find=editable, takes=[structs], data_type=SHAPE, many=True
)
def create_several(
    caller: Caller, tunnel: Tunnel, templates: Sequence[Template]
) -> list[AddressTranslation]:
    """All of them or none."""
    rows = [row_of(one) for one in templates]
    return services.add_translations(tunnel, rows, caller.user)


@context.method("editAddressTranslation", find=editable, takes=[struct], data_type=SHAPE)
def edit(caller: Caller, tunnel: Tunnel, template: Template) -> AddressTranslation:
    """Its id stays, whatever is changed."""
    return edit_several(caller, tunnel, [template])[0]


@context.method(
    "editAddressTranslations", find=editable, takes=[structs], data_type=SHAPE, many=True
)
def edit_several(
    caller: Caller, tunnel: Tunnel, templates: Sequence[Template]
) -> list[AddressTranslation]:
    """All of them or none."""
    ids = [lookup.identity(one.get("id")) for one in templates]
    edits = {pk: row_edit_of(one) for pk, one in zip(ids, templates, strict=True)}
    if len(edits) < len(templates):
        raise invalid("id: send each translation once.")
    with _of_the_tunnel():
        return services.edit_translations(tunnel, edits, caller.user)


@context.method("deleteAddressTranslation", find=editable, takes=[as_it_is])
def delete(caller: Caller, tunnel: Tunnel, translation: Any) -> bool:
    """Translate one address less."""
    with _of_the_tunnel():
        services.remove_translation(tunnel, lookup.identity(translation), caller.user)
    return True


@contextmanager
def _of_the_tunnel() -> Iterator[None]:
    try:
        yield
    except AddressTranslation.DoesNotExist as missing:
        raise not_found(missing) from None
