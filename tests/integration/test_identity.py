"""Users' names, second factors, confirmation, sessions and mails about them."""

from __future__ import annotations

import time
from datetime import timedelta
from io import StringIO

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.usersessions.models import UserSession
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.html import read, words
from vpnportal import services
from vpnportal.management.doctor import users
from vpnportal.models import ApiKey, Event, LimitEntry, OutgoingMail, Role, UserIdentity
from vpnportal.session_times import ACTIVE, CONFIRMED

pytestmark = pytest.mark.django_db
PASSWORD = "a password for the tests"
HTMX = {"HX-Request": "true"}
NEW = "another password for the tests"


def totp_code(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def add_app(page: Client) -> tuple[str, list[str]]:
    """Add an authenticator app. Return its key, and the recovery codes."""
    shown = page.get(reverse("mfa_activate_totp"))
    secret = words(shown, "totp-key")
    codes = page.post(reverse("mfa_activate_totp"), {"code": totp_code(secret)}, follow=True)
    quoted = [item for item in read(codes).iter("li") if item.get("class") == "quoted"]
    # The code of the same half minute is good for a sign-in, too.
    LimitEntry.objects.all().delete()
    return secret, ["".join(item.itertext()) for item in quoted]


def begin_sign_in(address: str = "192.0.2.1") -> Client:
    browser = Client(REMOTE_ADDR=address)
    answer = browser.post(reverse("account_login"), {"username": "ada", "password": PASSWORD})
    assert answer.headers["Location"] == reverse("mfa_authenticate")
    return browser


def is_signed_in(browser: Client) -> bool:
    return browser.get(reverse("tunnels")).status_code == 200


def later(page: Client, **ages: float) -> None:
    """Let times of a session be earlier by this number of seconds."""
    session = page.session
    for name, seconds in ages.items():
        session[name] = time.time() - seconds
    session.save()


@pytest.mark.parametrize(
    "name", ["Admin", "ADMIN", "B_owner", "\N{CYRILLIC SMALL LETTER A}dmin", "admin.", "admin@x"]
)
def test_s14_a_name_similar_to_another_is_refused(account, owner, name):
    for taken in ("admin", "b_owner"):
        User.objects.create_user(taken, password=PASSWORD)
    token = services.invite(account, Role.VIEWER, "", owner)
    filled = {"username": name, "password1": NEW, "password2": NEW}

    answer = Client().post(reverse("invitation", args=[token]), filled)

    assert answer.status_code == 422
    assert not User.objects.filter(username=name).exists()


def test_s14_the_refusal_of_a_taken_name_does_not_say_that_it_is_taken(account, owner):
    User.objects.create_user("admin", password=PASSWORD)
    token = services.invite(account, Role.VIEWER, "", owner)
    notes = []
    for name in ("admin", "adm1n"):
        filled = {"username": name, "password1": NEW, "password2": NEW}
        answer = Client().post(reverse("invitation", args=[token]), filled)
        notes.append(words(answer, "note-username"))

    assert notes[0] == notes[1] != ""


def test_a_code_of_the_app_is_the_second_step_of_a_sign_in(page, user):
    secret, _ = add_app(page)
    browser = begin_sign_in()
    assert not is_signed_in(browser)

    wrong = browser.post(reverse("mfa_authenticate"), {"code": "000000"})
    assert (wrong.status_code, is_signed_in(browser)) == (200, False)
    code = totp_code(secret)
    browser.post(reverse("mfa_authenticate"), {"code": code})
    assert is_signed_in(browser)
    again = begin_sign_in()
    again.post(reverse("mfa_authenticate"), {"code": code})

    assert not is_signed_in(again), "a code is for single use"


def test_a_recovery_code_signs_in_once(page, user):
    _, codes = add_app(page)
    assert len(codes) == 10
    browser, again = begin_sign_in(), begin_sign_in()

    browser.post(reverse("mfa_authenticate"), {"code": codes[0]})
    again.post(reverse("mfa_authenticate"), {"code": codes[0]})

    assert (is_signed_in(browser), is_signed_in(again)) == (True, False)
    shown_again = page.get(reverse("mfa_view_recovery_codes")).content.decode()
    assert codes[1] not in shown_again


def test_codes_of_the_second_step_are_limited(page, user):
    secret, _ = add_app(page)
    browser = begin_sign_in()
    for number in range(10):
        browser.post(reverse("mfa_authenticate"), {"code": f"{number:06}"})

    browser.post(reverse("mfa_authenticate"), {"code": totp_code(secret)})

    assert not is_signed_in(browser)


def test_the_secrets_of_second_factors_are_sealed(page, user):
    secret, codes = add_app(page)

    stored = repr(list(Authenticator.objects.values_list("data", flat=True)))

    assert secret not in stored
    assert all(code not in stored for code in codes)
    seed = Authenticator.objects.get(type="recovery_codes").data["seed"]
    assert ":" in seed, "a token of the portal's key"


def test_a_session_goes_on_after_a_confirmation_that_replaces_an_old_kind_of_hash(client, settings):
    settings.PASSWORD_HASHERS = [
        f"django.contrib.auth.hashers.{name}PasswordHasher" for name in ("MD5", "PBKDF2")
    ]
    old = make_password(PASSWORD, None, "pbkdf2_sha256")
    user = User.objects.create(username="old", password=old)
    client.force_login(user)
    session = client.session
    session.pop(CONFIRMED)
    session.save()

    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})

    user.refresh_from_db()
    assert user.password.startswith("md5$")
    assert client.get(reverse("tunnels")).status_code == 200
    assert CONFIRMED in client.session


def test_an_operator_without_a_second_factor_reaches_the_page_that_adds_one_alone(client, settings):
    settings.OPERATORS_NEED_SECOND_FACTOR = True
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))

    for url in ("/operators/", "/operators/auth/user/", "/operators/auth/user/1/change/"):
        assert client.get(url, follow=True).redirect_chain[-1][0] == reverse("mfa_index")
    add_app(client)

    assert client.get("/operators/").status_code == 200


def test_second_factors_and_sessions_of_users_are_not_in_the_admin(client):
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))

    for path in ("mfa/authenticator", "usersessions/usersession", "account/emailaddress"):
        assert client.get(f"/operators/{path}/").status_code == 404


def test_s15_wrong_old_passwords_of_a_stolen_session_are_limited(page, user):
    wrong = {"oldpassword": "no", "password1": NEW, "password2": NEW}
    for _ in range(25):
        page.post(reverse("account_change_password"), wrong)
        page.post(reverse("account_reauthenticate"), {"password": "no"})

    page.post(reverse("account_change_password"), {**wrong, "oldpassword": PASSWORD})

    assert User.objects.get(pk=user.pk).check_password(PASSWORD)


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("post", "reveal-key"),
        ("post", "cancel"),
        ("get", "other-end-file"),
        ("get", "export-translations"),
        ("post", "invite"),
        ("post", "member-role"),
        ("post", "member-remove"),
        ("post", "create-api-key"),
        ("post", "revoke-api-key"),
        ("get", "mfa_activate_totp"),
        ("get", "mfa_add_webauthn"),
        ("post", "account_email"),
    ],
)
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_s15_an_old_session_must_confirm_before(ready, account, owner, method, name, headers):
    client = Client()
    client.force_login(owner)
    later(client, confirmed_at=601)
    arguments = {
        "other-end-file": [ready.pk, "strongswan"],
        "invite": [account.pk],
        "member-role": [account.pk, 1],
        "member-remove": [account.pk, 1],
        "create-api-key": [account.pk],
        "revoke-api-key": [account.pk, 1],
    }
    own = name.startswith(("mfa_", "account_"))
    # These pages make no requests by htmx.
    headers = {} if own else headers
    url = reverse(name, args=arguments.get(name, [] if own else [ready.pk]))

    answer = getattr(client, method)(url, headers=headers)

    where = answer.headers.get("HX-Redirect") or answer.headers["Location"]
    assert where.startswith(f"{reverse('account_reauthenticate')}?next=%2F")
    client.post(where, {"password": PASSWORD})
    answer = getattr(client, method)(url, headers=headers)
    assert reverse("account_reauthenticate") not in answer.headers.get("Location", "")


def test_s15_a_change_of_the_password_offers_to_revoke_api_keys(page, user, account):
    services.create_api_key(account, user, "a script")
    changed = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}

    offer = page.post(reverse("account_change_password"), changed, follow=True)
    assert "a script" in offer.content.decode()
    page.post(reverse("password-changed"))

    assert not ApiKey.objects.usable(timezone.now()).exists()


@pytest.mark.parametrize(
    ("ages", "is_over"),
    [
        ({"active_at": 12 * 3600 + 60}, True),
        ({"active_at": 11 * 3600}, False),
        ({"signed_in_at": 14 * 86_400 + 60}, True),
        ({"signed_in_at": 13 * 86_400}, False),
    ],
)
def test_a_session_ends_without_requests_and_after_two_weeks(page, ages, is_over):
    later(page, **ages)

    assert is_signed_in(page) is not is_over


def test_polls_do_not_keep_a_session_alive(page, tunnel):
    later(page, active_at=3600)
    before = page.session[ACTIVE]

    page.get(reverse("state", args=[tunnel.pk]), headers={"HX-Request": "true"})
    page.get(reverse("news"), headers={"HX-Request": "true"})
    assert page.session[ACTIVE] == before
    page.get(reverse("tunnels"))

    assert page.session[ACTIVE] > before


def test_a_user_ends_one_session_or_all(user, bob):
    browsers = [Client(REMOTE_ADDR=f"192.0.2.{number}") for number in range(3)]
    for browser in browsers:
        browser.post(reverse("account_login"), {"username": "ada", "password": PASSWORD})
    first = UserSession.objects.get(ip="192.0.2.0")
    stranger = Client()
    stranger.force_login(bob)

    assert stranger.post(reverse("end-session", args=[first.pk])).status_code == 404
    browsers[1].post(reverse("end-session", args=[first.pk]))
    assert [is_signed_in(browser) for browser in browsers] == [False, True, True]
    browsers[1].post(reverse("end-all-sessions"))

    assert not any(is_signed_in(browser) for browser in browsers)


def test_no_page_of_a_user_is_stored_by_the_browser(page, tunnel):
    for url in (reverse("tunnels"), reverse("tunnel", args=[tunnel.pk]), reverse("profile")):
        assert "no-store" in page.get(url).headers["Cache-Control"]


def newest_mail() -> tuple[str, str]:
    mail = OutgoingMail.objects.latest("created_at")
    return mail.recipient, mail.text.open(mail.context)


def link_in(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("http"))


def test_a_forgotten_password_is_changed_with_a_link_by_mail_once(user, settings):
    settings.MAIL_URL = "smtp://localhost"
    EmailAddress.objects.create(user=user, email="ada@example.com", verified=True, primary=True)
    browser = Client()

    browser.post(reverse("account_reset_password"), {"email": "ada@example.com"})
    recipient, text = newest_mail()
    form = browser.get(link_in(text), follow=True)
    filled = {"password1": NEW, "password2": NEW}
    browser.post(form.redirect_chain[-1][0], filled)

    assert recipient == "ada@example.com"
    assert User.objects.get(pk=user.pk).check_password(NEW)
    assert "was used" in Client().get(link_in(text), follow=True).content.decode()


def test_a_stranger_does_not_learn_which_addresses_users_have(user, settings):
    settings.MAIL_URL = "smtp://localhost"
    EmailAddress.objects.create(user=user, email="ada@example.com", verified=True, primary=True)

    url, answers = reverse("account_reset_password"), []
    for address in ("ada@example.com", "no-one@example.com"):
        answers.append(words(Client().post(url, {"email": address}, follow=True), "main"))

    assert answers[0] == answers[1]
    assert OutgoingMail.objects.count() == 1


def test_without_a_mail_server_the_page_of_a_forgotten_password_names_the_operators(user):
    page = Client().get(reverse("account_reset_password")).content.decode()

    assert "Ask an operator of the service" in page


def test_a_user_without_an_address_is_asked_for_one_at_sign_in_and_may_postpone(user, settings):
    settings.MAIL_URL = "smtp://localhost"
    filled = {"username": "ada", "password": PASSWORD}
    browser = Client()

    asked = browser.post(reverse("account_login"), filled)
    again = Client().post(reverse("account_login"), filled)
    browser.post(reverse("account_email"), {"email": "ada@example.com", "action_add": ""})
    recipient, text = newest_mail()
    browser.post(link_in(text))

    assert asked.headers["Location"].startswith(reverse("account_email"))
    assert again.headers["Location"] == reverse("tunnels")
    assert recipient == "ada@example.com"
    assert EmailAddress.objects.get(user=user).verified


def test_a_sign_in_with_another_browser_is_told_by_mail_once(user, settings):
    settings.MAIL_URL = "smtp://localhost"
    EmailAddress.objects.create(user=user, email="ada@example.com", verified=True, primary=True)
    browser = Client(REMOTE_ADDR="192.0.2.77")
    filled = {"username": "ada", "password": PASSWORD}

    browser.post(reverse("account_login"), filled)
    browser.post(reverse("account_logout"))
    browser.post(reverse("account_login"), filled)

    assert OutgoingMail.objects.count() == 1
    assert "192.0.2.77" in newest_mail()[1]


def test_existing_users_with_similar_names_stay(db):
    """The migration gives the older one the skeleton; a later sign-in keeps both."""
    first = User.objects.create_user("admin")
    second = User.objects.create_user("other")
    User.objects.filter(pk=second.pk).update(username="Admin")
    UserIdentity.objects.filter(user=second).update(name_skeleton=None)
    second.refresh_from_db()

    second.first_name = "A."
    second.save()

    assert UserIdentity.objects.get(user=first).name_skeleton
    assert UserIdentity.objects.get(user=second).name_skeleton is None
    (finding,) = users.names()
    assert "'Admin' is too similar" in finding.text


def test_limits_end(db, settings):
    from django.core.cache import cache

    assert cache.add("a", 1, timeout=60)
    assert not cache.add("a", 2, timeout=60)
    LimitEntry.objects.update(ends_at=timezone.now() - timedelta(seconds=1))

    assert cache.get("a") is None
    assert cache.add("a", 3, timeout=60)


def test_owners_get_a_mail_about_members_roles_keys_and_reveals(
    account, user, owner, ready, settings
):
    settings.MAIL_URL = "smtp://localhost"
    for person in (user, owner):
        address = f"{person}@example.com"
        EmailAddress.objects.create(user=person, email=address, verified=True, primary=True)
    EmailAddress.objects.create(user=owner, email="not-confirmed@example.com")

    services.create_api_key(account, user, "a script")
    services.reveal_preshared_key(ready, owner)
    services.set_member_role(user.memberships.get(), Role.VIEWER)
    services.remove_member(user.memberships.get())

    sent = list(OutgoingMail.objects.order_by("created_at").values_list("recipient", "subject"))
    to_owner = [subject for recipient, subject in sent if recipient == "olga@example.com"]
    to_user = [subject for recipient, subject in sent if recipient == "ada@example.com"]
    assert to_owner == [
        "New API key of Example account",
        "Preshared key of ipsec001 shown",
        "New role in Example account",
        "A member of Example account was removed",
    ]
    assert to_user == [subject for subject in to_owner if "Preshared" not in subject]
    assert len(sent) == len(to_owner) + len(to_user)


def test_an_operator_gives_a_user_a_new_password_and_removes_lost_factors(page, user):
    add_app(page)
    out = StringIO()

    call_command("operator", "ada", "--new-password", "--without-factors", stdout=out)

    assert User.objects.get(pk=user.pk).check_password(out.getvalue().strip())
    assert not Authenticator.objects.exists()
    assert not is_signed_in(page)


def test_factors_passwords_and_ended_sessions_are_events_and_mails(
    page, user, settings, django_capture_on_commit_callbacks
):
    settings.MAIL_URL = "smtp://localhost"
    EmailAddress.objects.create(user=user, email="ada@example.com", verified=True, primary=True)
    with django_capture_on_commit_callbacks(execute=True):
        add_app(page)
    page.post(reverse("mfa_deactivate_totp"))
    changed = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
    page.post(reverse("account_change_password"), changed)
    page.post(reverse("end-all-sessions"))

    actions = set(Event.objects.filter(actor_id=user.pk).values_list("action", flat=True))
    subjects = OutgoingMail.objects.values_list("subject", flat=True)
    assert {"Authenticator app added", "Your password was changed"} <= {*subjects}
    assert {
        "user.second_factor_added",
        "user.second_factor_removed",
        "user.password_changed",
        "user.session_ended",
    } <= actions
