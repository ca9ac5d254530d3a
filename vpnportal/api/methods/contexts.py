"""SoftLayer_Network_Tunnel_Module_Context: read, edited and applied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.views.decorators.debug import sensitive_variables

from vpnportal import services
from vpnportal.api import lookup, object_templates
from vpnportal.api.arguments import struct
from vpnportal.api.calls import Caller
from vpnportal.api.registry import service
from vpnportal.api.serializers import DATA_TYPES, SerializationContext
from vpnportal.api.types.contexts import CONTEXT
from vpnportal.models import Tunnel

SHAPE = DATA_TYPES[CONTEXT]
visible = lookup.object_finder(lookup.visible)
editable = lookup.object_finder(lookup.editable)

context = service(CONTEXT)
# The draft: what is not applied yet is in it.
context.getters(SHAPE, visible)


@context.method("editObject", find=editable, takes=[struct])
@sensitive_variables("template", "shown", "edits")
def edit_object(caller: Caller, tunnel: Tunnel, template: Mapping[str, Any]) -> bool:
    """Keep the properties that differ, all of them or none."""
    reader = SerializationContext(caller)
    names = object_templates.EDITABLE.keys() - {"presharedKey"}
    shown = {name: SHAPE.locals[name](reader, tunnel) for name in names}
    edits = object_templates.edits_of(template, shown)
    services.edit_fields(tunnel, edits, caller.user)
    return True


@context.method("applyConfigurationsToDevice", find=editable)
def apply(caller: Caller, tunnel: Tunnel) -> bool:
    """Ask for it: true says that it is queued, the transaction tells what becomes of it."""
    services.apply(tunnel, caller.user)
    return True
