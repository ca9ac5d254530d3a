"""VPNPORTAL_DATABASE_URL chooses PostgreSQL; without it the portal keeps its SQLite file."""

import json
import os
import subprocess
import sys

SETS = (
    "-c jit=off -c lock_timeout=20s -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=3"
    " -c tcp_keepalives_count=3 -c tcp_user_timeout=15s"
)
DEAD_SERVER = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 8000,
}
SHOW = "import json; from vpnportal import settings; print(json.dumps(settings.DATABASES))"


def database(**environment):
    """Return the database setting of a process with these variables, or the end of its error."""
    others = {name: value for name, value in os.environ.items() if "VPNPORTAL" not in name}
    result = subprocess.run(
        [sys.executable, "-c", SHOW], env=others | environment, capture_output=True, text=True
    )
    return json.loads(result.stdout)["default"] if result.stdout else result.stderr[-300:]


def test_a_url_names_a_postgresql_server_by_its_address():
    chosen = database(
        VPNPORTAL_DATABASE_URL="postgresql://portal:p%40ss@db.example:5433/vpn?sslmode=verify-full"
    )
    assert chosen["ENGINE"] == "django.db.backends.postgresql"
    names = ("USER", "PASSWORD", "HOST", "PORT", "NAME")
    assert [chosen[name] for name in names] == ["portal", "p@ss", "db.example", 5433, "vpn"]
    limits = {"connect_timeout": 5, **DEAD_SERVER}
    options = {"sslmode": "verify-full", **limits, "options": SETS}
    assert chosen["OPTIONS"] == options
    assert (chosen["CONN_MAX_AGE"], chosen["CONN_HEALTH_CHECKS"]) == (600, True)


def test_a_url_names_a_postgresql_server_by_the_folder_of_its_socket():
    url = "postgresql:///vpn?host=/run/postgresql&options=-c%20statement_timeout%3D5000"
    chosen = database(VPNPORTAL_DATABASE_URL=url)
    assert (chosen["HOST"], chosen["NAME"]) == ("", "vpn")
    assert chosen["OPTIONS"]["host"] == "/run/postgresql"
    assert chosen["OPTIONS"]["options"] == f"{SETS} -c statement_timeout=5000"


def test_without_a_url_the_database_is_the_sqlite_file():
    chosen = database(VPNPORTAL_DATABASE="/srv/portal.sqlite3", VPNPORTAL_DATABASE_URL="")
    assert chosen["ENGINE"] == "django.db.backends.sqlite3"
    assert chosen["NAME"] == "/srv/portal.sqlite3"


def test_the_postgresql_of_the_state_folder_needs_no_url(tmp_path):
    sockets = tmp_path / "state of a portal" / "postgresql" / "run"
    sockets.mkdir(parents=True)
    state = {"VPNPORTAL_STATE": str(sockets.parents[1])}

    chosen = database(**state)
    assert (chosen["ENGINE"], chosen["NAME"]) == ("django.db.backends.postgresql", "vpnportal")
    assert (chosen["OPTIONS"]["host"], chosen["USER"]) == (str(sockets), "vpnportal")
    assert database(**state, VPNPORTAL_DATABASE="/srv/a.sqlite3")["NAME"] == "/srv/a.sqlite3"


def test_a_url_of_another_database_is_refused_with_the_right_variable_and_without_its_password():
    error = database(VPNPORTAL_DATABASE_URL="sqlite:////srv/portal.sqlite3")
    assert "VPNPORTAL_DATABASE_URL must begin with postgresql://" in error
    assert "belongs in VPNPORTAL_DATABASE." in error
    error = database(VPNPORTAL_DATABASE_URL="postgresql://portal:secret@db:port/vpn")
    assert "VPNPORTAL_DATABASE_URL" in error
    assert "secret" not in error
