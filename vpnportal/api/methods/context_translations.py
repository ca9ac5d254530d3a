"""SoftLayer_Network_Tunnel_Module_Context: address translations of a tunnel.

A method that takes a list changes all translations in the list or none. An edited translation
keeps its id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from vpnportal import services
from vpnportal.api import lookup
from vpnportal.api.arguments import as_is, struct, structs
from vpnportal.api.calls import Caller
from vpnportal.api.faults import invalid_value, object_not_found
from vpnportal.api.methods.contexts import context_service, find_editable
from vpnportal.api.object_templates import translation_edit, translation_row
from vpnportal.api.serializers import DATA_TYPES
from vpnportal.api.types.addresses import TRANSLATION
from vpnportal.models import AddressTranslation, Scope, Tunnel

TRANSLATIONS = DATA_TYPES[TRANSLATION]
Template = Mapping[str, Any]


@context_service.method(
    "createAddressTranslation",
    find=find_editable,
    arguments=[struct],
    data_type=TRANSLATIONS,
    scope=Scope.EDIT,
)
def create_translation(caller: Caller, tunnel: Tunnel, template: Template) -> AddressTranslation:
    """Create and return a translation. Raises Refused if the internal address already has one."""
    return create_translations(caller, tunnel, [template])[0]


@context_service.method(
    "createAddressTranslations",
    find=find_editable,
    arguments=[structs],
    data_type=TRANSLATIONS,
    many=True,
    scope=Scope.EDIT,
)
def create_translations(
    caller: Caller, tunnel: Tunnel, templates: Sequence[Template]
) -> list[AddressTranslation]:
    """Create one translation for each argument struct, all or none, and return the translations."""
    rows = [translation_row(template) for template in templates]
    return services.add_translations(tunnel, rows, caller.user)


@context_service.method(
    "editAddressTranslation",
    find=find_editable,
    arguments=[struct],
    data_type=TRANSLATIONS,
    scope=Scope.EDIT,
)
def edit_translation(caller: Caller, tunnel: Tunnel, template: Template) -> AddressTranslation:
    """Change and return the translation whose id is in the argument struct `template`.

    Only the properties that the struct contains are changed.
    """
    return edit_translations(caller, tunnel, [template])[0]


@context_service.method(
    "editAddressTranslations",
    find=find_editable,
    arguments=[structs],
    data_type=TRANSLATIONS,
    many=True,
    scope=Scope.EDIT,
)
def edit_translations(
    caller: Caller, tunnel: Tunnel, templates: Sequence[Template]
) -> list[AddressTranslation]:
    """Change and return the translations whose ids are in the argument structs `templates`.

    Translations may exchange addresses with each other. Raises Fault if an id occurs twice.
    """
    ids = [lookup.parse_id(template.get("id")) for template in templates]
    edits = {pk: translation_edit(template) for pk, template in zip(ids, templates, strict=True)}
    if len(edits) < len(templates):
        raise invalid_value("id: send each translation once.")
    with _not_found_as_fault():
        return services.edit_translations(tunnel, edits, caller.user)


@context_service.method(
    "deleteAddressTranslation", find=find_editable, arguments=[as_is], scope=Scope.EDIT
)
def delete_translation(caller: Caller, tunnel: Tunnel, translation_id: Any) -> bool:
    """Delete the translation of the tunnel that has this id. Raises Fault if there is none."""
    with _not_found_as_fault():
        services.remove_translation(tunnel, lookup.parse_id(translation_id), caller.user)
    return True


@contextmanager
def _not_found_as_fault() -> Iterator[None]:
    try:
        yield
    except AddressTranslation.DoesNotExist as error:
        raise object_not_found(error) from None
