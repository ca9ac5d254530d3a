"""Forms of sign-in, passwords and addresses, with the labels and checks of the portal."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import AddEmailForm, ChangePasswordForm, LoginForm
from allauth.account.models import Login
from django import forms
from django.contrib.auth.forms import BaseUserCreationForm
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator

from vpnportal import services
from vpnportal.web.accounts.adapters import WRONG

# A longer text is no password of a user, and costs time to hash.
MAX_PASSWORD = 1024


class SignInForm(LoginForm):
    """User name and password, with the names of fields of Django's own form."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        del self.fields["login"]
        name = forms.CharField(
            label="User name",
            max_length=150,
            error_messages={"max_length": "A user name has at most 150 characters."},
            widget=forms.TextInput(
                attrs={"autocomplete": "username webauthn", "autocapitalize": "none"}
            ),
        )
        self.fields["username"] = name
        _plain(self.fields["password"])
        self.order_fields(["username", "password"])

    def user_credentials(self) -> dict[str, str]:
        return {name: self.cleaned_data[name] for name in ("username", "password")}

    def _clean_with_password(self, credentials: dict[str, str]) -> dict[str, Any]:
        user = get_adapter(self.request).authenticate(self.request, **credentials)
        if user is None:
            raise ValidationError(WRONG)
        self.user, self._login = user, Login(user=user)
        return self.cleaned_data


class NewPassword(ChangePasswordForm):
    """Change of a password. Wrong old ones count as failed sign-ins."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        labels = {
            "oldpassword": "Current password",
            "password1": "New password",
            "password2": "Confirm new password",
        }
        for name, label in labels.items():
            _plain(self.fields[name]).label = label

    def clean_oldpassword(self) -> str:
        password: str = self.cleaned_data["oldpassword"]
        if not get_adapter().reauthenticate(self.user, password):
            raise get_adapter().validation_error("enter_current_password")
        return password


class NewAddress(AddEmailForm):
    """The address to which the portal sends mails about the user's account."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["email"].label = "E-mail address"
        self.fields["email"].widget.attrs.pop("placeholder", None)


class NewUser(BaseUserCreationForm):
    """Django's form for a new user, with the labels of the sign-in page."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.use_required_attribute = False
        self.fields["username"].label = "User name"
        self.fields["password2"].label = "Confirm password"
        for name, field in self.fields.items():
            if name != "password1":
                field.help_text = ""
            field.widget.attrs["autofocus"] = False

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"]
        if problem := services.user_name_problem(name):
            raise ValidationError(problem)
        return name

    def _get_validation_exclusions(self) -> set[str]:
        # `clean_username` refuses a name in the same words whether it is equal or similar.
        exclusions: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return {*exclusions, "username"}


def _plain(field: forms.Field) -> forms.Field:
    """Take the placeholder and the link for help from a field of a password."""
    field.widget.attrs.pop("placeholder", None)
    field.help_text = ""
    field.validators.append(MaxLengthValidator(MAX_PASSWORD))
    return field
