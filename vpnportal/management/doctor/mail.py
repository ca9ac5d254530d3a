"""The check of the mail server: it answers, encrypts, and accepts user and password."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator

from django.conf import settings
from django.core.mail import get_connection

from vpnportal.gateway.requirements.findings import Finding, met, unmet

ADVICE = (
    "Correct the mail server: `vpnportal setup --mail-server URL --mail-password-file FILE`. "
    "`vpnportal sendtestmail ADDRESS` tries it."
)


def mail_server() -> Iterator[Finding]:
    """Check that the mail server of VPNPORTAL_MAIL takes a connection. No mail is sent."""
    if not settings.MAIL_URL:
        yield met("mail", "No mail server is set, and the portal needs none.")
        return
    server = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    connection = get_connection()
    try:
        # EHLO, STARTTLS (RFC 3207) and AUTH (RFC 4954), as the settings say.
        connection.open()
    except smtplib.SMTPAuthenticationError as error:
        yield unmet("mail", f"{server} refuses user and password ({error.smtp_code}).", ADVICE)
        return
    except (smtplib.SMTPException, OSError) as error:
        yield unmet("mail", f"{server} takes no mail: {_reason(error)}", ADVICE)
        return
    finally:
        connection.close()
    yield met("mail", f"{server} takes mail of {settings.DEFAULT_FROM_EMAIL}.")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
