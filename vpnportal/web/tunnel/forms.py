"""Forms of the panel: one for each fieldset of a draft, each field a column of the tunnel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone

from vpnportal import services
from vpnportal.domain.tunnel.spec import translation_address
from vpnportal.models import Tunnel
from vpnportal.services import KEY_FIELD, VERSION_UNKNOWN, key_version_of
from vpnportal.web.tunnel import choices
from vpnportal.web.tunnel.draft_version import version, written

# Equals no saved value: the last seen value of a form that no page has rendered.
MALFORMED = object()


class ParsedCharField(forms.CharField):
    """A text field that `parse` converts; a ValueError of `parse` is the error of the field."""

    def __init__(self, parse: Callable[[str], Any], label: str, **options: Any) -> None:
        options = {"required": False, "strip": False, "show_hidden_initial": True, **options}
        super().__init__(label=label, **options)
        self.parse = parse

    def clean(self, value: Any) -> Any:
        return self.to_python(value)

    def to_python(self, value: Any) -> Any:
        try:
            return self.parse(value or "")
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


def _list_field(label: str, options: list[Any], coerce: Callable[[str], Any] = str) -> Any:
    return forms.TypedChoiceField(
        label=label,
        widget=choices.AlgorithmSelect(),
        choices=options,
        coerce=coerce,
        show_hidden_initial=True,
        error_messages={key: "Choose one of the list." for key in ("required", "invalid_choice")},
    )


def _seconds_field(parse: Callable[[str], int], label: str) -> ParsedCharField:
    digits = forms.TextInput({"inputmode": "numeric", "autocomplete": "off"})
    return ParsedCharField(parse, label, widget=digits)


def _keylife_field() -> ParsedCharField:
    return _seconds_field(services.parse_keylife, "Key Life (in seconds)")


def _checkbox(label: str) -> forms.BooleanField:
    return forms.BooleanField(label=label, required=False, show_hidden_initial=True)


class DraftField(forms.BoundField):
    """A field with the saved value that the user last saw.

    A hidden input contains that value. A form therefore saves only its changed fields, and two
    open pages do not revert each other's edits.
    """

    form: DraftForm

    @property
    def is_saved(self) -> bool:
        """True if this request saved the field."""
        return self.name in self.form.saved_values

    @property
    def has_conflict(self) -> bool:
        """True if another user changed the field first, so that the typed value is not saved."""
        return self.name in self.form.conflicting_values

    @property
    def edit_note(self) -> str:
        """A sentence about an edit by another user while the page was open, or ""."""
        return self.form.edit_notes.get(self.name, "")

    @property
    def has_last_seen_value(self) -> bool:
        """True if a hidden input has the last seen value; of a preshared key, its version."""
        return bool(self.field.show_hidden_initial) or self.name == KEY_FIELD

    @property
    def last_seen_value(self) -> str:
        """The text of the hidden input: the newest saved value that the user has seen."""
        if self.is_saved:
            value = self.form.saved_values[self.name]
        elif self.has_conflict:
            value = self.form.conflicting_values[self.name]
        elif self.form.is_bound:
            value = self.form.data.get(self.html_initial_name)
        else:
            value = self.initial
        return "" if value is None else str(value)


class DraftForm(forms.Form):
    """One fieldset of a draft.

    - `saved_values`: values that this request has saved, by field.
    - `conflicting_values`: values that other users saved first, by field.
    - `edit_notes`: sentences about edits by other users while the page was open, by field.
    """

    legend = ""
    slug = ""
    use_required_attribute = False
    bound_field_class = DraftField

    def __init__(
        self, tunnel: Tunnel, data: QueryDict | None = None, editable: bool = True
    ) -> None:
        initial = {name: getattr(tunnel, name) for name in self.base_fields if name != KEY_FIELD}
        super().__init__(data, initial=initial)
        self.saved_values: dict[str, Any] = {}
        self.conflicting_values: dict[str, Any] = {}
        self.edit_notes: dict[str, str] = {}
        for name, field in self.fields.items():
            field.disabled = not editable
            field.widget.attrs["hx-post"] = reverse("edit", args=[tunnel.pk])
            field.widget.attrs["aria-describedby"] = f"note-{name}"
            if name.startswith("phase_") and isinstance(field.widget, choices.AlgorithmSelect):
                capabilities = tunnel.concentrator.capabilities
                field.widget.unsupported = choices.unsupported_values(name, capabilities)

    def last_seen_value(self, name: str) -> Any:
        """Return the saved value that the user last saw, parsed.

        VERSION_UNKNOWN if the request does not have it.
        """
        text = self.data.get(self[name].html_initial_name)
        if text is None:
            return VERSION_UNKNOWN
        try:
            return version(text) if name == KEY_FIELD else self.fields[name].clean(text)
        except forms.ValidationError:
            return MALFORMED

    def narrow(self, name: str) -> None:
        """Drop all fields but one.

        Raises KeyError if the form has no field of that name.
        """
        self.fields = {name: self.fields[name]}


class General(DraftForm):
    legend, slug = "General", "general"
    friendly_name = ParsedCharField(services.parse_name, "Tunnel Name")
    notes = ParsedCharField(services.parse_notes, "Notes", widget=forms.Textarea({"rows": 3}))


class PhaseOne(DraftForm):
    legend, slug = "Phase One", "phase_one"
    remote_peer = ParsedCharField(services.parse_peer, "Remote Peer Address")
    preshared_key = ParsedCharField(
        services.parse_preshared_key,
        "Preshared Key",
        show_hidden_initial=False,
        widget=forms.PasswordInput({"autocomplete": "off"}, render_value=False),
    )
    phase_one_encryption = _list_field("Encryption", choices.ENCRYPTION)
    phase_one_authentication = _list_field("Authentication", choices.AUTHENTICATION)
    phase_one_group = _list_field("Diffie-Hellman Group (DH)", choices.GROUP, int)
    phase_one_keylife = _keylife_field()

    def __init__(self, tunnel: Tunnel, *args: Any, **options: Any) -> None:
        super().__init__(tunnel, *args, **options)
        self.initial[KEY_FIELD] = written(key_version_of(tunnel))
        placeholder = "Set \N{EN DASH} leave blank to keep" if tunnel.preshared_key else "Not set"
        self.fields[KEY_FIELD].widget.attrs["placeholder"] = placeholder


class PhaseTwo(DraftForm):
    legend, slug = "Phase Two", "phase_two"
    phase_two_encryption = _list_field("Encryption", choices.ENCRYPTION)
    phase_two_authentication = _list_field("Authentication", choices.AUTHENTICATION)
    phase_two_pfs = _checkbox("Perfect Forward Secrecy (PFS)")
    phase_two_group = _list_field("Diffie-Hellman Group (DH)", choices.GROUP, int)
    phase_two_keylife = _keylife_field()


class MoreOptions(DraftForm):
    legend, slug = "More options", "more"
    ike_version = _list_field("IKE version", choices.IKE_VERSION, int)
    starts = _list_field("Initiation", choices.INITIATION)
    dpd_seconds = _seconds_field(services.parse_dpd, "Dead Peer Detection (DPD), in seconds")
    one_child_per_pair = _checkbox("One CHILD_SA per subnet pair")

    def __init__(self, tunnel: Tunnel, *args: Any, **options: Any) -> None:
        super().__init__(tunnel, *args, **options)
        capabilities = tunnel.concentrator.capabilities
        versions = choices.ike_versions(capabilities)
        self.fields["ike_version"].choices = versions  # type: ignore[attr-defined]
        # The version of a strongSwan that may lack IKEv1, for a warning; otherwise "".
        self.without_ikev1 = capabilities.version if capabilities.may_lack_ikev1 else ""


class Access(DraftForm):
    legend, slug = "Access", "access"
    translated_only = _checkbox("Translated access only")

    def __init__(self, tunnel: Tunnel, *args: Any, **options: Any) -> None:
        super().__init__(tunnel, *args, **options)
        # True if the concentrator cannot do it: its ESP is not the kernel's.
        self.is_unsupported = tunnel.concentrator.capabilities.userland_esp
        # The end of the reservation of a tunnel that was never up; None without one.
        self.reserved_until = None if tunnel.translated_only else tunnel.claims_until
        self.is_reservation_over = bool(
            self.reserved_until and self.reserved_until <= timezone.now()
        )


FORMS: dict[str, type[DraftForm]] = {
    form.slug: form for form in (General, PhaseOne, PhaseTwo, MoreOptions, Access)
}
_OTHER_LABELS = {
    "remote_subnets": "Protected Customer (Remote) Subnet",
    "static_nat_subnets": "Assigned Static NAT subnets",
    "hosted_peer": "Hosted Peer Address",
    "hosted_subnets": "Protected private (hosted) subnets",
    "service_subnets": "Service subnets",
    "keep_seconds": "Health check timeout (seconds)",
    "keep_ping": "Address that must answer a ping",
}


def label_of(field: str) -> str:
    """Return the panel's label of a field name, such as "Phase One Encryption"."""
    for form in FORMS.values():
        if field in form.base_fields:
            label = str(form.base_fields[field].label)
            return f"{form.legend} {label}" if field.startswith("phase_") else label
    if (address := translation_address(field)) is not None:
        return f"Customer IP for {address}"
    return _OTHER_LABELS.get(field, field)
