"""SoftLayer_Network_Tunnel_Module_Context: read, edit and apply the draft of a tunnel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.views.decorators.debug import sensitive_variables

from vpnportal import services
from vpnportal.api import lookup, object_templates
from vpnportal.api.arguments import struct
from vpnportal.api.calls import Caller
from vpnportal.api.registry import register_service
from vpnportal.api.serializers import DATA_TYPES, SerializationContext
from vpnportal.api.types.contexts import CONTEXT
from vpnportal.models import Scope, Tunnel

CONTEXTS = DATA_TYPES[CONTEXT]
find_visible = lookup.object_finder(lookup.visible_tunnels)
find_editable = lookup.object_finder(lookup.editable_tunnels)

context_service = register_service(CONTEXT)
context_service.add_getters(CONTEXTS, find_visible)


@context_service.method("editObject", find=find_editable, arguments=[struct], scope=Scope.EDIT)
@sensitive_variables("template", "current", "edits")
def edit_object(caller: Caller, tunnel: Tunnel, template: Mapping[str, Any]) -> bool:
    """Save to the draft the properties in the argument struct that differ from it, all or none."""
    serialization = SerializationContext(caller)
    names = object_templates.EDITABLE.keys() - {"presharedKey"}
    current = {name: CONTEXTS.locals[name](serialization, tunnel) for name in names}
    edits = object_templates.context_edits(template, current)
    services.edit_fields(tunnel, edits, caller.user)
    return True


@context_service.method("applyConfigurationsToDevice", find=find_editable, scope=Scope.APPLY)
def apply(caller: Caller, tunnel: Tunnel) -> bool:
    """Apply the draft as a revision, and return True as soon as the revision is queued.

    Clients read the outcome from the transaction of the revision.
    """
    services.apply(tunnel, caller.user)
    return True
