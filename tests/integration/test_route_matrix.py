"""Every route for every role, and with every id of another account in its path and its forms.

A new route fails here until `ROUTES` says who may use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations, product
from urllib.parse import urlsplit

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, resolve, reverse
from django.utils import timezone

from tests.html import Element, read
from tests.integration.another_account import FIRST, all_rows, rolled_back
from tests.integration.conftest import member
from tests.integration.test_pages_access import FILLED
from vpnportal.models import (
    Account,
    AddressTranslation,
    ApiKey,
    Datacenter,
    Invitation,
    Membership,
    Revision,
    Role,
    Subnet,
    Tunnel,
)
from vpnportal.urls import urlpatterns

pytestmark = pytest.mark.django_db

STRANGER, VIEWER, OPERATOR, OWNER, STAFF = "stranger", "viewer", "operator", "owner", "staff"
ROLES = (STRANGER, VIEWER, OPERATOR, OWNER, STAFF)
MEMBERS = {VIEWER, OPERATOR, OWNER}
EDITORS = {OPERATOR, OWNER}
ALL = set(ROLES)
GET, POST = "GET", "POST"

# By route: who may use it, and with which methods. Other roles get 404, and strangers without a
# session the sign-in page.
ROUTES: dict[str, tuple[set[str], tuple[str, ...]]] = {
    "profile": (ALL, (GET, POST)),
    "begin-rotation": ({OWNER}, (POST,)),
    "end-rotation": ({OWNER}, (POST,)),
    "cancel-rotation": ({OWNER}, (POST,)),
    "accounts": (ALL, (GET,)),
    "invite": ({OWNER}, (POST,)),
    "withdraw": ({OWNER}, (POST,)),
    "member-role": ({OWNER}, (POST,)),
    "member-remove": ({OWNER}, (POST,)),
    "create-api-key": (MEMBERS, (POST,)),
    "revoke-api-key": ({OWNER}, (POST,)),
    "tunnels": (ALL, (GET,)),
    "news": (ALL, (GET,)),
    "several": (EDITORS, (POST,)),
    "order": ({STRANGER, OWNER}, (GET, POST)),
    "tunnel": (MEMBERS, (GET,)),
    "edit": (EDITORS, (POST,)),
    "add-remote-subnet": (EDITORS, (POST,)),
    "remove-remote-subnet": (EDITORS, (POST,)),
    "attach-subnet": (EDITORS, (POST,)),
    "detach-subnet": (EDITORS, (POST,)),
    "key": (MEMBERS, (GET,)),
    "generate-key": (EDITORS, (POST,)),
    "reveal-key": ({OWNER}, (POST,)),
    "look": (MEMBERS, (GET,)),
    # A POST opens the subnet in a browser without JavaScript.
    "subnet": (MEMBERS, (GET, POST)),
    "translations": (EDITORS, (POST,)),
    "export-translations": (MEMBERS, (GET,)),
    "preview-translations": (EDITORS, (POST,)),
    "import-translations": (EDITORS, (POST,)),
    "import-progress": (MEMBERS, (GET,)),
    "standing": (MEMBERS, (GET,)),
    "ask": (EDITORS, (POST,)),
    "answer": (MEMBERS, (GET,)),
    "fill-in": (EDITORS, (POST,)),
    "discard": (EDITORS, (POST,)),
    "put-back": (EDITORS, (POST,)),
    "undo": (EDITORS, (POST,)),
    "history": (MEMBERS, (GET,)),
    "revision": (MEMBERS, (GET,)),
    "restore": (EDITORS, (POST,)),
    "apply": (EDITORS, (POST,)),
    "command": (EDITORS, (POST,)),
    "state": (MEMBERS, (GET,)),
    "cancel": ({OWNER}, (GET, POST)),
    "status": (MEMBERS, (GET,)),
    "other-end": (MEMBERS, (GET,)),
    "other-end-file": (MEMBERS, (GET,)),
    "hand-over": (MEMBERS, (GET,)),
    "concentrators": ({STAFF}, (GET,)),
    "held": ({STAFF}, (GET, POST)),
}
# Open to clients without a session; each has tests of its own.
PUBLIC = {
    "account_login",
    "account_logout",
    "account_inactive",
    "account_confirm_email",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "mfa_authenticate",
    "mfa_login_webauthn",
    "invitation",
    "security-txt",
    "gateway-join",
    "gateway-renew",
}
# Pages of sign-in, factors and sessions: each is for its user alone, and names no account.
PERSONAL = {
    "account_change_password",
    "account_email",
    "account_reauthenticate",
    "end-all-sessions",
    "end-session",
    "mfa_activate_totp",
    "mfa_add_webauthn",
    "mfa_deactivate_totp",
    "mfa_edit_webauthn",
    "mfa_generate_recovery_codes",
    "mfa_index",
    "mfa_list_webauthn",
    "mfa_reauthenticate",
    "mfa_reauthenticate_webauthn",
    "mfa_remove_webauthn",
    "mfa_view_recovery_codes",
    "password-changed",
    "sessions",
}
# Routes whose changes are the user's own.
OF_THE_USER = {"profile", "create-api-key"}
FOUND = {200, 204, 302, 400, 409, 422}


@pytest.fixture
def scene(foreign, ready, account) -> dict[str, object]:
    """Return the values of all parameters of routes, for rows of the user's account."""
    revision = Revision.next_for(ready, ready.draft(), None)
    revision.outcome = Revision.Outcome.LIVE
    revision.save()
    ids = add_people(account, ready)
    # One that can be attached.
    account.subnets.create(kind=Subnet.Kind.HOSTED, network=IPv4Network("10.5.0.0/24"))
    static_nat = Subnet.objects.get(account=account, kind=Subnet.Kind.STATIC_NAT)
    return {"pk": ready.pk, "subnet": static_nat.pk, "number": 1, **ids}


def add_people(account: Account, tunnel: Tunnel, first: int | None = None) -> dict[str, int]:
    """Create the rows of an account that have ids in routes; return them by parameter."""

    def pk(number: int) -> dict[str, int]:
        return {} if first is None else {"pk": first + number}

    user = User.objects.create_user(f"member of {account}")
    membership = account.memberships.create(user=user, role=Role.OPERATOR, **pk(20))
    invitation = account.invitations.create(digest=f"{account}", note="canary", **pk(21))
    key = ApiKey.objects.create(account=account, user=user, name="canary", digest="x", **pk(22))
    ApiKey.objects.filter(pk=key.pk).update(digest=f"{account}")
    now = timezone.now()
    tunnel.imports.create(total=1, state="done", finished_at=now, author=user, **pk(23))
    return {"member": membership.pk, "invitation": invitation.pk, "key": key.pk}


@pytest.fixture
def browsers(account, owner, user, foreign) -> dict[str, Client]:
    """Return a browser of each role, of which the stranger owns an account without a tunnel."""
    elsewhere = Account.objects.create(name="Elsewhere")
    people = {
        STRANGER: member(elsewhere, "eve", Role.OWNER),
        VIEWER: member(account, "vic", Role.VIEWER),
        OPERATOR: user,
        OWNER: owner,
        STAFF: User.objects.create_user("stan", is_staff=True),
    }
    return {role: signed_in(person) for role, person in people.items()}


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def routes() -> dict[str, list[str]]:
    """Return the names of the parameters of all routes of the pages, by the route's name."""
    named = [entry for entry in urlpatterns if isinstance(entry, URLPattern) and entry.name]
    return {str(entry.name): list(entry.pattern.converters) for entry in named}


def values_of(name: str, scene: dict[str, object]) -> dict[str, object]:
    texts = {"slug": "strongswan", "side": "keep"}
    values = {**scene, **texts}
    if name in ("invite", "withdraw", "member-role", "member-remove"):
        values["pk"] = Account.objects.get(name="Example account").pk
    if name in ("create-api-key", "revoke-api-key"):
        values["pk"] = Account.objects.get(name="Example account").pk
    kinds = {"detach-subnet": Subnet.Kind.HOSTED, "remove-remote-subnet": Subnet.Kind.CUSTOMER}
    if name in kinds:
        tunnel = Tunnel.objects.get(name="ipsec001")
        values["subnet"] = tunnel.subnets.get(kind=kinds[name]).pk
    if name == "import-progress":
        values["number"] = Tunnel.objects.get(name="ipsec001").imports.get().pk
    return {parameter: values[parameter] for parameter in routes()[name]}


def body(scene: dict[str, object]) -> dict[str, object]:
    offered = Subnet.objects.get(network="10.5.0.0/24").pk
    return {
        **FILLED,
        "subnet": offered,
        "tunnel": scene["pk"],
        "role": "viewer",
        "note": "x",
        "name": "ipsec001",
    }


def test_every_route_has_a_row():
    unnamed = [e for e in urlpatterns if isinstance(e, URLPattern) and not e.name]

    assert set(routes()) == set(ROUTES) | PUBLIC | PERSONAL
    assert [str(entry.pattern) for entry in unnamed] == [""], "the redirect to the list"


def send(client: Client, method: str, url: str, form: dict[str, object]) -> HttpResponse:
    return client.get(url) if method == GET else client.post(url, form)


def test_a_route_is_for_its_roles_alone_and_a_viewer_changes_nothing(scene, browsers, gateway):
    before, form, wrong = all_rows(), body(scene), []

    for name, (allowed, methods) in ROUTES.items():
        url = reverse(name, kwargs=values_of(name, scene))
        for method in {GET, POST} - set(methods):
            if (status := send(browsers[OWNER], method, url, form).status_code) != 405:
                wrong.append((name, method, status))
        for method in methods:
            answer = Client().generic(method, url)
            if answer.headers.get("Location") != f"/sign-in/?next={url}":
                wrong.append((name, method, "without a session", answer.status_code))
            for role, client in browsers.items():
                with rolled_back() as written:
                    status = send(client, method, url, form).status_code
                    may_change = role in allowed and (role != VIEWER or name in OF_THE_USER)
                    if (status not in FOUND if role in allowed else status != 404) or (
                        not may_change and written and all_rows() != before
                    ):
                        wrong.append((name, method, role, status))

    assert wrong == []
    assert all_rows() == before


def test_a_page_of_a_user_needs_a_session_and_shows_no_factor_or_session_of_another(
    account, owner, user
):
    client = signed_in(owner)
    passkey = Authenticator.objects.create(
        user=user, type=Authenticator.Type.WEBAUTHN, data={"name": "canary"}
    )
    session = UserSession.objects.create(
        user=user, ip="192.0.2.1", session_key="x", user_agent="canary"
    )
    rows = {"end-session": session.pk}
    before = [list(model.objects.order_by("pk").values()) for model in (Authenticator, UserSession)]
    wrong = []

    for name in PERSONAL:
        parameters = routes()[name]
        url = reverse(name, kwargs={each: rows.get(name, passkey.pk) for each in parameters})
        for method in (GET, POST):
            answer = Client().generic(method, url)
            if answer.headers.get("Location") != f"/sign-in/?next={url}":
                wrong.append((name, method, "without a session", answer.status_code))
            if parameters:
                answer = send(client, method, url, {"name": "mine"})
                # A confirmation of the user comes first.
                if answer.status_code not in (302, 404, 405) or "canary" in text_of(answer):
                    wrong.append((name, method, answer.status_code))

    assert wrong == []
    after = [list(model.objects.order_by("pk").values()) for model in (Authenticator, UserSession)]
    assert [rows for rows in after[0] if rows["user_id"] == user.pk] == before[0]
    assert [rows for rows in after[1] if rows["user_id"] == user.pk] == [
        rows for rows in before[1] if rows["user_id"] == user.pk
    ]


def test_no_id_of_another_account_in_a_path_is_found(scene, browsers, foreign):
    theirs = add_people(Account.objects.get(pk=FIRST), Tunnel.objects.get(pk=FIRST + 2), FIRST)
    foreign_ids = {*foreign.values(), *theirs.values(), FIRST + 23}
    before, form, wrong = all_rows(), body(scene), []

    for name, (_, methods) in ROUTES.items():
        own = values_of(name, scene)
        numbers = [parameter for parameter, value in own.items() if isinstance(value, int)]
        if name in ("revision", "restore"):
            # The number of a revision counts within its tunnel.
            numbers.remove("number")
        # Already removed is as good as removed by this request.
        expected = {404, 302} if name == "remove-remote-subnet" else {404}
        sizes = range(1, len(numbers) + 1)
        for parameters in (chosen for size in sizes for chosen in combinations(numbers, size)):
            for value, method in product(foreign_ids, methods):
                url = reverse(name, kwargs={**own, **dict.fromkeys(parameters, value)})
                with rolled_back() as written:
                    answer = send(browsers[OWNER], method, url, form)
                    if answer.status_code not in expected or "canary" in text_of(answer):
                        wrong.append((method, url, answer.status_code))
                    elif written and all_rows() != before:
                        wrong.append((method, url, "changed something"))

    assert wrong == []
    assert all_rows() == before


def text_of(answer: HttpResponse) -> str:
    return answer.content.decode(errors="replace")


def forms_of(response: HttpResponse) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Yield the action, method and fields of each form; a field may have many values."""
    page = read(response)
    for form in page.iter("form"):
        outside = [e for e in page.iter() if form.get("id") and e.get("form") == form.get("id")]
        fields = [
            (element.get("name", ""), value)
            for element in (*form.iter(), *outside)
            if element.tag in ("input", "button", "textarea", "select") and element.get("name")
            for value in _values(element)
        ]
        yield form.get("action", ""), form.get("method", "get"), fields


def _values(element: Element) -> list[str]:
    if element.tag == "select":
        return [option.get("value", "") for option in element.iter("option")]
    return [element.get("value", "")]


def test_no_id_of_another_account_in_a_form_changes_or_shows_anything(
    scene, browsers, foreign, gateway
):
    """Each id in each form of the owner's pages is exchanged for each of the other account."""
    theirs = add_people(Account.objects.get(pk=FIRST), Tunnel.objects.get(pk=FIRST + 2), FIRST)
    client, before = browsers[OWNER], all_rows(foreign_only=True)
    reading = [
        name for name, (roles, methods) in ROUTES.items() if GET in methods and OWNER in roles
    ]
    pages = [reverse(name, kwargs=values_of(name, scene)) for name in reading]
    pages.append(f"{reverse('tunnel', args=[scene['pk']])}?open={scene['subnet']}")
    tried, wrong = set(), []
    models = (
        Account,
        AddressTranslation,
        ApiKey,
        Datacenter,
        Invitation,
        Membership,
        Subnet,
        Tunnel,
    )
    own = {str(pk) for model in models for pk in model.objects.values_list("pk", flat=True)}

    for page in pages:
        response = client.get(page)
        if "text/html" not in response.headers.get("Content-Type", ""):
            continue
        for action, method, fields in forms_of(response):
            url = urlsplit(action).path or urlsplit(page).path
            for name, value in fields:
                if value not in own or (resolve(url).url_name, name) in tried:
                    continue
                tried.add((resolve(url).url_name, name))
                for other in {*foreign.values(), *theirs.values()}:
                    sent = {**dict(fields), **body(scene), name: str(other)}
                    with rolled_back() as written:
                        answer = getattr(client, method.lower())(url, sent, follow=True)
                        if (
                            answer.status_code >= 500
                            or "canary" in text_of(answer)
                            or (written and all_rows(foreign_only=True) != before)
                        ):
                            wrong.append((url, name, other, answer.status_code))

    assert wrong == []
    assert {("several", "tunnel"), ("order", "account"), ("attach-subnet", "subnet")} <= tried


def admin_urls(entries: list[object] | None = None, namespace: str = "admin") -> Iterator[str]:
    """Yield a URL of each route of the admin."""
    known = {
        "object_id": 1,
        "pk": 1,
        "id": 1,
        "content_type_id": 1,
        "url": "x",
        "app_label": "auth",
    }
    for entry in admin.site.get_urls() if entries is None else entries:
        if isinstance(entry, URLResolver):
            yield from admin_urls(entry.url_patterns)
        elif entry.name:
            parameters = set(entry.pattern.regex.groupindex) | set(entry.pattern.converters)
            values = {parameter: known.get(parameter, 1) for parameter in parameters}
            yield reverse(f"{namespace}:{entry.name}", kwargs=values)


def test_no_route_of_the_admin_is_for_customers(scene, browsers):
    urls = set(admin_urls()) - {reverse("admin:login"), reverse("admin:logout")}
    assert len(urls) > 30
    before = all_rows()

    for role in (STRANGER, VIEWER, OPERATOR, OWNER):
        for url in urls:
            for answer in (
                browsers[role].get(url, follow=True),
                browsers[role].post(url, body(scene), follow=True),
            ):
                assert answer.status_code == 404, (role, url)
    for url in urls:
        for answer in (browsers[STAFF].get(url), browsers[STAFF].post(url, body(scene))):
            text = text_of(answer)
            assert answer.status_code != 500 and "canary" not in text, url
    assert all_rows() == before
