"""The form of a trial (commit-confirm): roll back automatically if the tunnel is not healthy."""

from __future__ import annotations

from collections.abc import Iterable

from django import forms
from django.forms.utils import ErrorDict
from django.http import QueryDict

from vpnportal import services
from vpnportal.domain.tunnel.spec import Problem
from vpnportal.services import Refused, Trial
from vpnportal.web.tunnel.forms import ParsedCharField, label_of

DEFAULT_SECONDS = 60


class TrialForm(forms.Form):
    """The trial inputs, which the HTML form `translations` submits on Apply Configurations."""

    use_required_attribute = False

    keep = forms.BooleanField(label="Roll back automatically if not healthy", required=False)
    keep_seconds = ParsedCharField(
        services.parse_trial_seconds,
        label_of("keep_seconds"),
        initial=DEFAULT_SECONDS,
        show_hidden_initial=False,
        widget=forms.TextInput({"inputmode": "numeric", "autocomplete": "off"}),
    )
    keep_ping = ParsedCharField(
        services.parse_address,
        label_of("keep_ping"),
        show_hidden_initial=False,
        widget=forms.TextInput({"placeholder": "none", "autocomplete": "off"}),
    )

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data)
        for name, field in self.fields.items():
            field.widget.attrs |= {"form": "translations", "aria-describedby": f"note-{name}"}

    def clean(self) -> None:
        """Discard all errors of the form unless the checkbox `keep` is checked."""
        if not self.cleaned_data.get("keep"):
            self._errors = ErrorDict()

    def trial(self) -> Trial | None:
        """Return the requested trial, or None.

        Raises Refused if a field is malformed.
        """
        if not self.is_valid():
            raise Refused(*(Problem(name, str(texts[0])) for name, texts in self.errors.items()))
        values = self.cleaned_data
        return Trial(values["keep_seconds"], values["keep_ping"]) if values["keep"] else None

    def explain(self, problems: Iterable[Problem]) -> None:
        """Add the problems of these fields to the form."""
        for problem in problems:
            if problem.field in self.fields and problem.field not in self.errors:
                self.add_error(problem.field, problem.text)
