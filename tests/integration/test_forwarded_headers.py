"""Headers of proxies: the portal believes those of its own proxy, and of no other client."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from functools import partial
from http.client import HTTPConnection
from ipaddress import ip_network

import pytest
from django.test import Client, RequestFactory

from tests.running_portal import ROOT, wait_for
from vpnportal.http import NO_CLIENT_ADDRESS, client_address

FORMS = {
    "192.0.2.1": "192.0.2.1",
    "198.51.100.1, 192.0.2.1": "192.0.2.1",
    "192.0.2.1:4711": "192.0.2.1",
    "2001:db8::1": "2001:db8::1",
    "[2001:db8::1]": "2001:db8::1",
    "[2001:DB8::1]:99": "2001:db8::1",
    "::ffff:192.0.2.1": "192.0.2.1",
}
TRUE_SCHEME = {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "on", "X-Forwarded-Protocol": "ssl"}


@pytest.mark.parametrize("entry", FORMS)
def test_s18_each_form_of_an_address_that_proxies_send_is_read(settings, entry):
    settings.BEHIND_PROXY = True
    request = RequestFactory().get("/", headers={"X-Forwarded-For": entry})

    assert client_address(request) == FORMS[entry]


@pytest.mark.parametrize("entry", ["", "unknown", "192.0.2.1, ", "a" * 5000, "[192.0.2.1:80"])
def test_s18_a_proxy_that_sends_no_address_is_refused_and_not_counted(settings, entry):
    """Otherwise ten wrong passwords would close the page to all clients of the proxy."""
    settings.BEHIND_PROXY = True

    response = Client().get("/sign-in/", headers={"X-Forwarded-For": entry})

    assert (response.status_code, response.content.decode()) == (400, NO_CLIENT_ADDRESS)


def test_s18_only_configured_proxies_send_scheme_and_address(settings, db):
    settings.BEHIND_PROXY = settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.PROXIES = [ip_network("10.0.0.0/24")]
    headers = {"X-Forwarded-For": "192.0.2.1", **TRUE_SCHEME}

    def status(peer: str) -> int:
        return Client(REMOTE_ADDR=peer).get("/sign-in/", headers=headers).status_code

    assert status("10.0.0.7") == 200
    assert status("") == 200, "through the Unix socket"
    assert status("10.0.1.7") == status("127.0.0.1") == 301


def test_s18_gunicorn_of_the_procfile_and_of_the_package_believes_no_header(tmp_path):
    unit = ROOT / "packaging/vpnportal/usr/lib/systemd/system/vpnportal-web.service"
    (packaged,) = [line for line in unit.read_text().splitlines() if "ExecStart=" in line]
    (web,) = [line for line in (ROOT / "Procfile").read_text().splitlines() if line[:4] == "web:"]
    for line in (packaged, web):
        words = shlex.split(line)
        options = words[words.index("--limit-request-line") :]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "vpnportal.wsgi", "--threads", "2", *options]
        environment = {**os.environ, "VPNPORTAL_SECRET_KEY": "x" * 60, "VPNPORTAL_HTTPS": "true"}
        environment |= {"VPNPORTAL_STATE": str(tmp_path), "FORWARDED_ALLOW_IPS": "*"}
        server = subprocess.Popen(
            [*command, "--bind", f"127.0.0.1:{port}"],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(partial(_status, port), 20)
            for name, value in TRUE_SCHEME.items():
                assert _status(port, name, value) == 301, "the request came without TLS"
            assert _status(port, "SCRIPT_NAME", "/elsewhere") == 301
        finally:
            server.terminate()
            server.wait(20)


def _status(port: int, name: str = "X-Other", value: str = "") -> int | None:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/sign-in/", headers={"Host": "localhost", name: value})
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()
