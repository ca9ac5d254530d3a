"""The pages of the portal, as a browser that signed in gets them from its web server."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from urllib.parse import urlencode

from tests.html import typed, words
from tests.machines.installation import PORTAL
from tests.machines.machine import Machine

# In memory: a full disk must not be the reason why the client fails.
COOKIES = "/run/pages.cookies"
CURL = (
    *("curl", "--silent", "--show-error", "--location", "--max-time", "40"),
    *("--cacert", "/etc/vpnportal/tls/ca.pem", "--cookie", COOKIES, "--cookie-jar", COOKIES),
    *("--header", f"Origin: https://{PORTAL}", "--write-out", r"\n%{http_code}"),
)
TUNNEL, PASSWORD = "/tunnels/1/", "the-password-of-a-test"
SET_PASSWORD = f"""
from django.contrib.auth.models import User
user = User.objects.get()
user.set_password("{PASSWORD}")
user.save()
print(user.username)
"""


@dataclass(frozen=True, slots=True)
class Page:
    """A page after all redirects: its HTTP status and its HTML."""

    status: int
    content: bytes = field(repr=False)


class Pages:
    """A session of the only user, by curl on the portal's machine."""

    def __init__(self, portal: Machine) -> None:
        self._portal = portal
        shell = ("vpnportal", "shell", "--verbosity", "0", "-c", SET_PASSWORD)
        user = portal.run(*shell).strip()
        portal.run("rm", "-f", COOKIES)
        self._token = self._token_of("/sign-in/")
        page = self.post("/sign-in/", username=user, password=PASSWORD)
        assert page.status == 200, page
        self._token = self._token_of(TUNNEL)

    def _token_of(self, path: str) -> str:
        """Return the token against forged requests, which is another after signing in."""
        token = typed(self.get(path), "csrfmiddlewaretoken")
        assert token, path
        return token

    def get(self, path: str) -> Page:
        """Return the page of a path."""
        return self._request(path)

    def post(self, path: str, **values: str) -> Page:
        """Send a form, and return the page that the answer leads to."""
        form = urlencode({"csrfmiddlewaretoken": self._token, **values})
        return self._request(path, "--data-binary", "@-", text=form)

    def _request(self, path: str, *options: str, text: str = "") -> Page:
        command = self._portal.command(*CURL, *options, f"https://{PORTAL}{path}")
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        content, _, status = done.stdout.rpartition(b"\n")
        return Page(int(status), content)

    def state(self) -> str:
        """Return the state of the tunnel, as the title of its page has it."""
        return words(self.get(TUNNEL), "state-title").removeprefix("State ")

    def apply(self, **values: str) -> Page:
        """Press Apply Configurations, with more inputs of the form."""
        return self.post(f"{TUNNEL}apply/", **values)
