"""The panel's forms: one for each fieldset of a draft, each field a column of the tunnel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.http import QueryDict
from django.urls import reverse

from vpnportal.domain.tunnel.spec import translation_address
from vpnportal.models import Tunnel
from vpnportal.services import input_parsing
from vpnportal.services.edit_conflicts import KEY, VERSION_UNKNOWN, key_version_of
from vpnportal.web.tunnel import choices
from vpnportal.web.tunnel.draft_version import version, written

# Seen by nobody: what no page of ours has shown is not what is kept.
NEVER = object()


class ParsedCharField(forms.CharField):
    """A text with a reader of `typed`, whose words become the field's error."""

    def __init__(self, read: Callable[[str], Any], label: str, **options: Any) -> None:
        options = {"required": False, "strip": False, "show_hidden_initial": True, **options}
        super().__init__(label=label, **options)
        self.read = read

    def clean(self, value: Any) -> Any:
        return self.to_python(value)

    def to_python(self, value: Any) -> Any:
        try:
            return self.read(value or "")
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


def _pick(label: str, options: list[Any], coerce: Callable[[str], Any] = str) -> Any:
    return forms.TypedChoiceField(
        label=label,
        widget=choices.Options(),
        choices=options,
        coerce=coerce,
        show_hidden_initial=True,
        error_messages={key: "Choose one of the list." for key in ("required", "invalid_choice")},
    )


def _seconds(read: Callable[[str], int], label: str) -> ParsedCharField:
    digits = forms.TextInput({"inputmode": "numeric", "autocomplete": "off"})
    return ParsedCharField(read, label, widget=digits)


def _keylife() -> ParsedCharField:
    return _seconds(input_parsing.keylife, "Key Life (in seconds)")


def _tick(label: str) -> forms.BooleanField:
    return forms.BooleanField(label=label, required=False, show_hidden_initial=True)


class DraftField(forms.BoundField):
    """A field that also knows what its reader last saw kept.

    That value travels in a hidden input, so that a whole form saves only what was changed in it,
    and two tabs do not undo each other.
    """

    form: DraftForm

    @property
    def saved(self) -> bool:
        return self.name in self.form.kept

    @property
    def overtaken(self) -> bool:
        """Whether somebody else changed it meanwhile, and what was typed is not kept."""
        return self.name in self.form.theirs

    @property
    def told(self) -> str:
        """Who changed it while the page was open, in a sentence."""
        return self.form.told.get(self.name, "")

    @property
    def remembers(self) -> bool:
        """Whether the hidden input is there; a preshared key's holds its version only."""
        return bool(self.field.show_hidden_initial) or self.name == KEY

    @property
    def last_seen_value(self) -> str:
        if self.saved:
            value = self.form.kept[self.name]
        elif self.overtaken:
            value = self.form.theirs[self.name]
        elif self.form.is_bound:
            value = self.form.data.get(self.html_initial_name)
        else:
            value = self.initial
        return "" if value is None else str(value)


class DraftForm(forms.Form):
    """One fieldset of a draft.

    `kept` holds what a request has saved of it; `theirs` what others did meanwhile instead; `told`
    who changed a field while the page was open.
    """

    legend = ""
    slug = ""
    use_required_attribute = False
    bound_field_class = DraftField

    def __init__(
        self, tunnel: Tunnel, data: QueryDict | None = None, editable: bool = True
    ) -> None:
        kept = {name: getattr(tunnel, name) for name in self.base_fields if name != KEY}
        super().__init__(data, initial=kept)
        self.kept: dict[str, Any] = {}
        self.theirs: dict[str, Any] = {}
        self.told: dict[str, str] = {}
        for field in self.fields.values():
            field.disabled = not editable
            field.widget.attrs["hx-post"] = reverse("edit", args=[tunnel.pk])
        for name in self.fields:
            self.fields[name].widget.attrs["aria-describedby"] = f"note-{name}"
            if name.startswith("phase_") and isinstance(
                widget := self.fields[name].widget, choices.Options
            ):
                widget.lacking = choices.lacking(name, tunnel.concentrator.capabilities)

    def seen(self, name: str) -> Any:
        """What its reader last saw kept of a field; UNKNOWN where the request does not tell."""
        text = self.data.get(self[name].html_initial_name)
        if text is None:
            return VERSION_UNKNOWN
        try:
            return version(text) if name == KEY else self.fields[name].clean(text)
        except forms.ValidationError:
            return NEVER

    def narrow(self, name: str) -> None:
        """Look at this one field only; KeyError where the form has none of that name."""
        self.fields = {name: self.fields[name]}


class General(DraftForm):
    legend, slug = "General", "general"
    friendly_name = ParsedCharField(input_parsing.name, "Tunnel Name")
    notes = ParsedCharField(input_parsing.notes, "Notes", widget=forms.Textarea({"rows": 3}))


class PhaseOne(DraftForm):
    legend, slug = "Phase One", "phase_one"
    remote_peer = ParsedCharField(input_parsing.peer, "Remote Peer Address")
    preshared_key = ParsedCharField(
        input_parsing.preshared_key,
        "Preshared Key",
        show_hidden_initial=False,
        widget=forms.PasswordInput({"autocomplete": "off"}, render_value=False),
    )
    phase_one_encryption = _pick("Encryption", choices.ENCRYPTION)
    phase_one_authentication = _pick("Authentication", choices.AUTHENTICATION)
    phase_one_group = _pick("Diffie-Hellman Group (DH)", choices.GROUP, int)
    phase_one_keylife = _keylife()

    def __init__(self, tunnel: Tunnel, *args: Any, **options: Any) -> None:
        super().__init__(tunnel, *args, **options)
        self.initial[KEY] = written(key_version_of(tunnel))
        words = "A key is kept. Empty keeps it." if tunnel.preshared_key else "No key yet"
        self.fields[KEY].widget.attrs["placeholder"] = words


class PhaseTwo(DraftForm):
    legend, slug = "Phase Two", "phase_two"
    phase_two_encryption = _pick("Encryption", choices.ENCRYPTION)
    phase_two_authentication = _pick("Authentication", choices.AUTHENTICATION)
    phase_two_pfs = _tick("Perfect Forward Secrecy (PFS)")
    phase_two_group = _pick("Diffie-Hellman Group (DH)", choices.GROUP, int)
    phase_two_keylife = _keylife()


class MoreOptions(DraftForm):
    legend, slug = "More options", "more"
    ike_version = _pick("IKE version", choices.IKE_VERSION, int)
    starts = _pick("Who starts", choices.STARTING)
    dpd_seconds = _seconds(input_parsing.dpd, "Dead Peer Detection (DPD), in seconds")
    one_child_per_pair = _tick("One child per subnet pair")

    def __init__(self, tunnel: Tunnel, *args: Any, **options: Any) -> None:
        super().__init__(tunnel, *args, **options)
        abilities = tunnel.concentrator.capabilities
        versions = choices.ike_versions(abilities)
        self.fields["ike_version"].choices = versions  # type: ignore[attr-defined]
        self.without_ikev1 = abilities.version if abilities.may_lack_ikev1 else ""


FORMS: dict[str, type[DraftForm]] = {
    form.slug: form for form in (General, PhaseOne, PhaseTwo, MoreOptions)
}


def label_of(field: str) -> str:
    """The panel's label of a problem's field; two phases share words, so those say which."""
    for form in FORMS.values():
        if field in form.base_fields:
            label = str(form.base_fields[field].label)
            return f"{form.legend} {label}" if field.startswith("phase_") else label
    if (address := translation_address(field)) is not None:
        return f"Customer IP for {address}"
    return {
        "remote_subnets": "Protected Customer (Remote) Subnet",
        "static_nat_subnets": "Assigned Static NAT subnets",
        "hosted_peer": "Hosted Peer Address",
        "hosted_subnets": "Protected private (hosted) subnets",
        "service_subnets": "Service subnets",
        "keep_seconds": "Must be up after (in seconds)",
        "keep_ping": "Address that must answer a ping",
    }.get(field, field)
