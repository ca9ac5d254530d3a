"""Routes of sign-in, passwords, addresses, second factors and sessions.

By the names with `account_` and `mfa_` django-allauth finds its own pages. Its routes that the
portal does not use are missing here, and so do not exist.
"""

from __future__ import annotations

from allauth.account import views as account
from allauth.mfa.base import views as factors
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as passkeys
from django.urls import URLPattern, path, re_path

from vpnportal.web.accounts import addresses, profile, sessions, sign_in

FACTORS = "profile/factors/"
RESET = "sign-in/reset/"

ROUTES: list[URLPattern] = [
    path("sign-in/", sign_in.SignIn.as_view(), name="account_login"),
    path("sign-in/factor/", factors.authenticate, name="mfa_authenticate"),
    path("sign-in/passkey/", passkeys.login_webauthn, name="mfa_login_webauthn"),
    path("sign-in/disabled/", account.account_inactive, name="account_inactive"),
    path(RESET, sign_in.ForgottenPassword.as_view(), name="account_reset_password"),
    path(f"{RESET}sent/", account.password_reset_done, name="account_reset_password_done"),
    path(
        f"{RESET}done/",
        account.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    # django-allauth puts both values in the place of "UID-KEY".
    re_path(
        rf"^{RESET}(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)/$",
        account.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path("sign-out/", sign_in.SignOut.as_view(), name="account_logout"),
    path("profile/", profile.profile, name="profile"),
    path("profile/password/", sign_in.ChangePassword.as_view(), name="account_change_password"),
    path("profile/password/changed/", profile.password_changed, name="password-changed"),
    path("profile/email/", addresses.Address.as_view(), name="account_email"),
    path("profile/email/<str:key>/", account.confirm_email, name="account_confirm_email"),
    path("profile/confirm/", account.reauthenticate, name="account_reauthenticate"),
    path("profile/confirm/code/", factors.reauthenticate, name="mfa_reauthenticate"),
    path(
        "profile/confirm/passkey/",
        passkeys.reauthenticate_webauthn,
        name="mfa_reauthenticate_webauthn",
    ),
    path(FACTORS, factors.index, name="mfa_index"),
    path(f"{FACTORS}totp/", totp.activate_totp, name="mfa_activate_totp"),
    path(f"{FACTORS}totp/remove/", totp.deactivate_totp, name="mfa_deactivate_totp"),
    path(f"{FACTORS}codes/", codes.view_recovery_codes, name="mfa_view_recovery_codes"),
    path(f"{FACTORS}codes/new/", codes.generate_recovery_codes, name="mfa_generate_recovery_codes"),
    path(f"{FACTORS}passkeys/", passkeys.list_webauthn, name="mfa_list_webauthn"),
    path(f"{FACTORS}passkeys/add/", passkeys.add_webauthn, name="mfa_add_webauthn"),
    path(f"{FACTORS}passkeys/<int:pk>/", passkeys.edit_webauthn, name="mfa_edit_webauthn"),
    path(
        f"{FACTORS}passkeys/<int:pk>/remove/", passkeys.remove_webauthn, name="mfa_remove_webauthn"
    ),
    path("profile/sessions/", sessions.sessions, name="sessions"),
    path("profile/sessions/<int:pk>/end/", sessions.end, name="end-session"),
    path("profile/sessions/end-all/", sessions.end_all, name="end-all-sessions"),
]
