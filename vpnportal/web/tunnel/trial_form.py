"""Apply, keep if healthy: how long the tunnel may take, and what must answer behind it."""

from __future__ import annotations

from collections.abc import Iterable

from django import forms
from django.forms.utils import ErrorDict
from django.http import QueryDict

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.services import Refused, Trial, input_parsing
from vpnportal.web.tunnel.forms import ParsedCharField, label_of

SECONDS = 60


class TrialForm(forms.Form):
    """Belongs to the form of the translations, as Apply Configurations does."""

    use_required_attribute = False

    keep = forms.BooleanField(label="Keep only if healthy", required=False)
    keep_seconds = ParsedCharField(
        input_parsing.trial_seconds,
        label_of("keep_seconds"),
        initial=SECONDS,
        show_hidden_initial=False,
        widget=forms.TextInput({"inputmode": "numeric", "autocomplete": "off"}),
    )
    keep_ping = ParsedCharField(
        input_parsing.address,
        label_of("keep_ping"),
        show_hidden_initial=False,
        widget=forms.TextInput({"placeholder": "none", "autocomplete": "off"}),
    )

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data)
        for name, field in self.fields.items():
            field.widget.attrs |= {"form": "translations", "aria-describedby": f"note-{name}"}

    def clean(self) -> None:
        """Without the tick the rest is not asked for, whatever is typed there."""
        if not self.cleaned_data.get("keep"):
            self._errors = ErrorDict()

    def trial(self) -> Trial | None:
        """What was asked for, if anything; Refused where it is ill-formed."""
        if not self.is_valid():
            raise Refused(*(Problem(name, str(texts[0])) for name, texts in self.errors.items()))
        kept = self.cleaned_data
        return Trial(kept["keep_seconds"], kept["keep_ping"]) if kept["keep"] else None

    def explain(self, problems: Iterable[Problem]) -> None:
        """Put those that are about these fields beside them."""
        for problem in problems:
            if problem.field in self.fields and problem.field not in self.errors:
                self.add_error(problem.field, problem.text)
