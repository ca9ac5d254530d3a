"""A network admin in a browser, without JavaScript: it sends the requests that htmx sends."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.cookiejar import CookieJar

SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """Status and text of a response."""

    status: int
    text: str


class Person:
    """A user who has signed in to the portal at a URL."""

    def __init__(self, url: str, name: str, password: str) -> None:
        self._url = url.rstrip("/")
        self._cookies = CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self._cookies)
        )
        self.get("/sign-in/")
        signed_in = self.post("/sign-in/", {"username": name, "password": password})
        assert "Sign out" in signed_in.text, signed_in

    def get(self, path: str) -> Answer:
        return self._request(path, None, {})

    def post(self, path: str, fields: dict[str, str], field: str = "") -> Answer:
        """Send the form as htmx does when `field` loses the focus; "" sends it by its button."""
        token = next((cookie.value for cookie in self._cookies if cookie.name == "csrftoken"), "")
        headers = {"X-CSRFToken": token or "", "Referer": self._url}
        if field:
            headers |= {"HX-Request": "true", "HX-Trigger-Name": field}
        data = urllib.parse.urlencode(fields).encode()
        return self._request(path, data, headers)

    def reaches_portal(self) -> bool:
        """Return True if the portal answers."""
        try:
            return self.get("/tunnels/").status == 200
        except OSError:
            return False

    def _request(self, path: str, data: bytes | None, headers: dict[str, str]) -> Answer:
        request = urllib.request.Request(self._url + path, data, headers)  # noqa: S310
        try:
            with self._opener.open(request, timeout=SECONDS) as response:
                return Answer(response.status, response.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode())
