"""All settings of the portal. Only this module reads the environment."""

from __future__ import annotations

import os
import pwd
import re
import tomllib
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from environs import Env

from vpnportal.deployment.broker_access import gateway_user

env = Env()
ROOT = Path(__file__).resolve().parent.parent
VERSION: str = tomllib.loads((ROOT / "release.toml").read_text())["version"]

# The folder of all files that change while the portal runs.
STATE = Path(env.str("VPNPORTAL_STATE", str(ROOT / "var")))
KEYS = Path(env.str("VPNPORTAL_KEYS", str(STATE / "keys")))


def _secret(name: str) -> str:
    """Return the text of a key file, or "" if it does not exist or this user may not read it.

    `manage.py keys` creates the files. Worker and monitor have no need of the session key.
    """
    try:
        return (KEYS / name).read_text().strip()
    except (FileNotFoundError, PermissionError):
        return ""


DEBUG = env.bool("VPNPORTAL_DEBUG", False)
SECRET_KEY = env.str("VPNPORTAL_SECRET_KEY", "") or _secret("session.key")
SEAL_KEY_FILE = KEYS / "seal.key"
FINGERPRINT_KEY_FILE = KEYS / "fingerprint.key"
# The certificate of this machine as a client of database and broker, with its key in one PEM file.
CLIENT_TLS_FILE = str(KEYS / "tls.key") if _secret("tls.key") else ""
# A gateway has these two instead. Its own key opens what the portal sealed for its concentrator.
GATEWAY_KEY_FILE = KEYS / "gateway.key"
CONCENTRATOR_KEY_FILE = KEYS / "concentrator.key"

HTTPS = env.bool("VPNPORTAL_HTTPS", True)
ALLOWED_HOSTS = env.list("VPNPORTAL_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("VPNPORTAL_ORIGINS", [])

INSTALLED_APPS = [
    "vpnportal.admin_site.AdministrationConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",
    "django_htmx",
    # Before vpnportal, which takes their models out of the admin.
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "vpnportal",
    "csp",
]
MIDDLEWARE = [
    # Outermost, so that all responses have its headers.
    "vpnportal.http.CommonHeaders",
    "vpnportal.web.probes.Probes",
    # Before all that reads the client's address or scheme.
    "vpnportal.http.ForwardedHeaders",
    # Before all others, so that each log line and each answer has the id of its request.
    "vpnportal.request_context.RequestIds",
    "django.middleware.security.SecurityMiddleware",
    # Answers API requests before sessions and cookies are read.
    "vpnportal.api.middleware.LegacyApiMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "vpnportal.web.accounts.session_ends.SessionEnds",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "vpnportal.web.middleware.PersonalTimeZone",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    # Innermost, so that its response gets all headers. No middleware before it reads a body.
    "vpnportal.web.middleware.BoundedRequests",
]
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = [
    f"django.contrib.auth.hashers.{name}"
    for name in ("Argon2PasswordHasher", "PBKDF2PasswordHasher")
]
# The limits of django-allauth are rows that all processes share.
# django-allauth counts in the default cache. Sections of pages are kept in each process.
CACHES = {
    "default": {"BACKEND": "vpnportal.limits_cache.LimitsCache"},
    "pages": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}
ACCOUNT_ADAPTER = "vpnportal.web.accounts.adapters.Accounts"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
# No mail to an address because a stranger typed it.
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
ACCOUNT_FORMS = {
    "change_password": "vpnportal.web.accounts.forms.NewPassword",
    "add_email": "vpnportal.web.accounts.forms.NewAddress",
}
# `services.sign_in_limits` counts passwords. "login_failed" is for codes of the second factor.
ACCOUNT_RATE_LIMITS = {
    "login": "",
    "login_failed": "10/10m/key",
    "change_password": "",
    "reauthenticate": "60/10m/user",
    "reset_password": "20/10m/ip,3/h/key",
    "confirm_email": "1/m/key",
}
MFA_ADAPTER = "vpnportal.web.accounts.adapters.SecondFactors"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
# A code is accepted for one more period before and after its own, for clocks that differ.
MFA_TOTP_TOLERANCE = 1
MFA_RECOVERY_CODES_SHOW_ONCE = True
# Users of the pages Administration must have a second factor.
OPERATORS_NEED_SECOND_FACTOR = env.bool("VPNPORTAL_OPERATORS_NEED_SECOND_FACTOR", True)
# A session ends after this time without a request of its user, and after the second one always.
SESSION_IDLE = timedelta(hours=env.int("VPNPORTAL_SESSION_IDLE_HOURS", 12))
SESSION_LASTS = timedelta(days=env.int("VPNPORTAL_SESSION_DAYS", 14))
SESSION_COOKIE_AGE = int(SESSION_LASTS.total_seconds())
ROOT_URLCONF = "vpnportal.urls"
WSGI_APPLICATION = "vpnportal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
# The largest form is a translation table: two inputs for each of 4,096 open addresses, and for each
# unsaved row. The largest file is an import.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 << 20


# Opening a database takes longer than most queries.
CONNECTION_SECONDS = 600
# For the lock of another request or process. The page then says that nothing was written.
LOCK_SECONDS = 20
# Limits for a connection whose other machine is gone without a word, as after a power failure or in
# a cut network. TCP alone tries for 15 minutes, or for ever. First those of the client (libpq).
DEAD_SERVER = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    # Milliseconds. TCP repeats a segment after 3.0, 6.2, 12.6 and 25.4 s. So after a cut a client
    # works again within 3.2 s: by the repetition, or by another connection.
    "tcp_user_timeout": 8_000,
}
# Those of the server, which frees the locks of a gateway that is gone. A page waits longer for one.
DEAD_CLIENT = (
    "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=3"
    " -c tcp_user_timeout=15s"
)


def _role() -> str:
    """Return the role of this process in the PostgreSQL that `bin/database` made.

    The user of the gateways may be the role of each concentrator on this machine.
    """
    try:
        is_gateway = os.geteuid() == pwd.getpwnam("vpnportal-gateway").pw_uid
    except KeyError:
        is_gateway = False
    return gateway_user(env.str("VPNPORTAL_CONCENTRATOR", "")) if is_gateway else "vpnportal"


def database_setting() -> dict[str, Any]:
    """Return the PostgreSQL database of VPNPORTAL_DATABASE_URL, or without it that of the state.

    It is the PostgreSQL that `bin/database` made in the state folder, or else the SQLite file.
    """
    sockets = STATE / "postgresql" / "run"
    if env.str("VPNPORTAL_DATABASE_URL", ""):
        database = env.dj_db_url("VPNPORTAL_DATABASE_URL")
    elif not env.str("VPNPORTAL_DATABASE", "") and sockets.is_dir():
        url = f"postgresql://{_role()}@/vpnportal?host={quote(str(sockets))}"
        database = dj_database_url.parse(url)
    else:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": env.str("VPNPORTAL_DATABASE", str(STATE / "db" / "portal.sqlite3")),
            "CONN_MAX_AGE": CONNECTION_SECONDS,
            "OPTIONS": {
                # A second writer waits instead of failing; readers never wait.
                "transaction_mode": "IMMEDIATE",
                "timeout": LOCK_SECONDS,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    if database["ENGINE"] != "django.db.backends.postgresql":
        raise ImproperlyConfigured(
            "VPNPORTAL_DATABASE_URL must begin with postgresql://. "
            "The path of an SQLite file belongs in VPNPORTAL_DATABASE."
        )
    database |= {"CONN_MAX_AGE": CONNECTION_SECONDS, "CONN_HEALTH_CHECKS": True}
    options = database.setdefault("OPTIONS", {})
    if CLIENT_TLS_FILE and str(options.get("sslmode", "")).startswith("verify-"):
        options |= {"sslcert": CLIENT_TLS_FILE, "sslkey": CLIENT_TLS_FILE}
    # A worker must not wait minutes for a machine that is off: it restores its tunnels alone.
    options.setdefault("connect_timeout", 5)
    for name, value in DEAD_SERVER.items():
        options.setdefault(name, value)
    # Compiling the query of the tunnel list takes 37 of its 205 ms at 10,000 tunnels, each time.
    sets = f"-c jit=off -c lock_timeout={LOCK_SECONDS}s {DEAD_CLIENT}"
    options["options"] = f"{sets} {options.get('options', '')}".rstrip()
    return dict(database)


DATABASES = {"default": database_setting()}
# Raise an error if a transaction locks rows in another order than `models.row_locks` says.
CHECK_LOCK_ORDER = DEBUG
# Threads of each web process, for gunicorn's --threads.
WEB_THREADS = env.int("VPNPORTAL_WEB_THREADS", 4)

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
STATIC_ROOT = Path(env.str("VPNPORTAL_STATIC", str(STATE / "static")))
STATICFILES_DIRS = [ROOT / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

_VALIDATORS = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"{_VALIDATORS}.UserAttributeSimilarityValidator"},
    {"NAME": f"{_VALIDATORS}.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": f"{_VALIDATORS}.CommonPasswordValidator"},
    {"NAME": f"{_VALIDATORS}.NumericPasswordValidator"},
]

LANGUAGE_CODE = "en-us"
USE_I18N = False
# Adds the time zone to the times that Django formats itself, in the admin.
FORMAT_MODULE_PATH = "vpnportal.formats"
TIME_ZONE = "UTC"
USE_TZ = True

LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "tunnels"
LOGOUT_REDIRECT_URL = "account_login"

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = HTTPS
# A client repeats a redirected POST as a GET, so the API answers with an error text instead.
SECURE_REDIRECT_EXEMPT = [r"^(rest|xmlrpc)(/|$)"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Features of browsers that no page uses. WebAuthn is not among them.
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer",
        "autoplay",
        "camera",
        "display-capture",
        "encrypted-media",
        "fullscreen",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "picture-in-picture",
        "screen-wake-lock",
        "serial",
        "usb",
        "xr-spatial-tracking",
    )
)
BEHIND_PROXY = env.bool("VPNPORTAL_BEHIND_PROXY", False)
# Networks of the proxies that come by TCP. A client of the Unix socket is always the proxy.
PROXIES = [ip_network(name) for name in env.list("VPNPORTAL_PROXIES", ["127.0.0.0/8", "::1"])]
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "connect-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}


def mail_settings(url: str) -> dict[str, Any]:
    """Return Django's settings of a mail server, smtp://user:password@host:587 or smtps://…:465.

    smtp:// uses STARTTLS (RFC 3207) if it has a user, so that no password crosses in the clear.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ImproperlyConfigured(
            "VPNPORTAL_MAIL must begin with smtp:// or smtps://, and have a host."
        )
    is_tls = parts.scheme == "smtps"
    return {
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or (465 if is_tls else 587 if parts.username else 25),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": is_tls,
        "EMAIL_USE_TLS": bool(parts.username) and not is_tls,
    }


EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("VPNPORTAL_MAIL_FROM", "vpnportal@localhost")
MAIL_URL = env.str("VPNPORTAL_MAIL", "")
# Without a mail server, a mail is an error and not lost in silence.
if MAIL_URL:
    globals().update(mail_settings(MAIL_URL))


def security_contacts(uris: list[str]) -> list[str]:
    """Return the contacts of /.well-known/security.txt. Raises ImproperlyConfigured for others.

    Each is a URI of the scheme mailto, https or tel (RFC 9116, 2.5.3).
    """
    for uri in uris:
        if not re.fullmatch(r"(mailto:|https://|tel:)[!-~]+", uri):
            raise ImproperlyConfigured(
                f"VPNPORTAL_SECURITY_CONTACT has {uri!r}. "
                "Write mailto:security@example.net or https://example.net/security."
            )
    return uris


SECURITY_CONTACTS = security_contacts(env.list("VPNPORTAL_SECURITY_CONTACT", []))

# Requests per second of one API key in each process; the burst limit is ten times as high.
API_RATE = env.int("VPNPORTAL_API_RATE", 50)

# `portal` or `gateway` where the packages say it; else `doctor` finds out.
MACHINE = env.str("VPNPORTAL_MACHINE", "")
# The folder in which `doctor` looks for the newest backup.
BACKUPS = Path(env.str("VPNPORTAL_BACKUPS", "/var/backups/vpnportal"))

# The folder of a gateway's own files; on its machine only the worker needs it.
GATEWAY_STATE = Path(env.str("VPNPORTAL_GATEWAY_STATE", str(STATE / "gateway")))
# The concentrator of this worker; the portal's own processes do not need it.
CONCENTRATOR = env.str("VPNPORTAL_CONCENTRATOR", "")
REDIS_SOCKET = env.str("VPNPORTAL_REDIS", str(STATE / "redis" / "redis.sock"))
# On another machine: rediss://user:password@host:port/0, with an ACL user for each machine.
CELERY_BROKER_URL = env.str("VPNPORTAL_BROKER", f"redis+socket://{REDIS_SOCKET}")
if CELERY_BROKER_URL.startswith("rediss:"):
    CELERY_BROKER_USE_SSL = {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": env.str("VPNPORTAL_BROKER_CA", "/etc/ssl/certs/ca-certificates.crt"),
        **(
            {"ssl_certfile": CLIENT_TLS_FILE, "ssl_keyfile": CLIENT_TLS_FILE}
            if CLIENT_TLS_FILE
            else {}
        ),
    }
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
# 0 is no limit. With a limit, a worker that could not acknowledge a message to a stopping Redis
# counts it as reserved and waits forever. The "solo" pool takes one message at a time anyway.
CELERY_WORKER_PREFETCH_MULTIPLIER = 0
# A process that can write to the broker can request a converge and nothing else.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A page never waits for an unreachable broker: the converge of the next minute applies the
# revision.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Without this option kombu tries to connect for six seconds in spite of the setting above.
    "max_retries": 0,
    "socket_connect_timeout": 1,
    "socket_timeout": 3,
    # A worker waits for messages without a limit of time. After these seconds without any answer of
    # Redis, which comes each second, it connects again. kombu's default is 25.
    "health_check_interval": 4,
    "visibility_timeout": 300,
    # Redis allows an ACL user keys by name. So each queue is one key, and the worker of each
    # concentrator has keys of its own for the messages that it has not acknowledged.
    "priority_steps": [0],
    **{
        f"{key}_key": f"{key}.{CONCENTRATOR}"
        for key in ("unacked", "unacked_index", "unacked_mutex")
        if CONCENTRATOR
    },
}
# A broker that refuses commands, for example because its disk is full, ends no worker.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_WORKER_CONSUMER = "vpnportal.consumer:ReconnectingConsumer"
CELERY_TIMEZONE = "UTC"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "vpnportal.logs.OneLine",
            "format": "%(asctime)s %(levelname)s %(name)s: %(request)s%(message)s",
        }
    },
    "filters": {
        "request": {"()": "vpnportal.logs.RequestIdFilter"},
        "routine": {"()": "vpnportal.logs.RoutineFilter"},
        "cut": {"()": "vpnportal.logs.ShortTexts"},
        "sparse": {"()": "vpnportal.logs.SparseLines"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["request", "routine", "cut", "sparse"],
        }
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
}
# A worker logs to the handlers above.
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# Commands, peer probes, corrections, reveals, sign-ins, and sent mails are removed after this time.
KEEP_DAYS = env.int("VPNPORTAL_KEEP_DAYS", 400)

# Events are removed this many days after they were sealed, 30 at least; 0 keeps all.
EVENT_DAYS = env.int("VPNPORTAL_EVENT_DAYS", 400)
# A syslog server that gets the head of the chain of events: unix:///dev/log, udp://HOST:514 or
# tcp://HOST:514.
SYSLOG = env.str("VPNPORTAL_SYSLOG", "")

# Translated access only of a new tunnel. Concentrators with userland ESP cannot do it.
TRANSLATED_ONLY_DEFAULT = env.bool("VPNPORTAL_TRANSLATED_ONLY_DEFAULT", False)

# Days in which a new tunnel must be up to keep the remote networks that it reserves.
CLAIM_DAYS = env.int("VPNPORTAL_CLAIM_DAYS", 7)
# Prefix lengths of the largest networks that a tunnel may reserve: a private one without a grant of
# the operators, and a public one with it.
CLAIM_PREFIX = env.int("VPNPORTAL_CLAIM_PREFIX", 8)
PUBLIC_CLAIM_PREFIX = env.int("VPNPORTAL_PUBLIC_CLAIM_PREFIX", 16)
# Most of each in one account. The operators change them for an account in the administration.
QUOTAS = {
    "tunnels": env.int("VPNPORTAL_MAX_TUNNELS", 50),
    "translations": env.int("VPNPORTAL_MAX_TRANSLATIONS", 200_000),
    "subnets": env.int("VPNPORTAL_MAX_SUBNETS", 500),
    # All private networks have 17,891,328 addresses.
    "addresses": env.int("VPNPORTAL_MAX_ADDRESSES", 18_000_000),
    "api_keys": env.int("VPNPORTAL_MAX_API_KEYS", 100),
    "invitations": env.int("VPNPORTAL_MAX_INVITATIONS", 20),
    "probes": env.int("VPNPORTAL_MAX_PROBES", 1),
}
# Of one account in an hour: orders, deletions, and applies refused for addresses of others.
ORDERS_PER_HOUR = env.int("VPNPORTAL_ORDERS_PER_HOUR", 60)
REFUSED_APPLIES_PER_HOUR = env.int("VPNPORTAL_REFUSED_APPLIES_PER_HOUR", 10)

# charon's socket for the worker and the monitor. The web process never opens it.
# Names of the interfaces from which servers send into tunnels; derived if there are none.
HOSTED_INTERFACES: list[str] = env.list("VPNPORTAL_HOSTED_INTERFACES", default=[])
VICI_SOCKET = env.str("VPNPORTAL_VICI", str(STATE / "lab" / "concentrator" / "charon.vici"))
# The reason why this machine has no charon, if the script that starts the portal knows it.
CONCENTRATOR_NOTE = env.str("VPNPORTAL_CONCENTRATOR_NOTE", "")

# The laboratory: the prefix of its network namespaces, and the folder of its files.
LAB_PREFIX = env.str("VPNPORTAL_LAB", "vpnlab")
LAB_FOLDER = STATE / "lab"
