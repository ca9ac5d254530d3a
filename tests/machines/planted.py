"""How to plant faults on installed machines, and the findings of `vpnportal doctor` about them."""

from __future__ import annotations

from dataclasses import dataclass

from tests.machines import install_guide

FIRST, SECOND = install_guide.EXAMPLE_NAME, install_guide.SECOND[install_guide.EXAMPLE_NAME]
PSQL = "runuser -u postgres -- psql --quiet --no-psqlrc -At --dbname vpnportal"
# 60 s ahead for every program that starts. Containers share the clock of their host.
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, now);
    if (!result && id == CLOCK_REALTIME) now->tv_sec += 60;
    return result;
}
time_t time(time_t *seconds) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds) *seconds = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
"""
CLOCK_FILE = "/usr/local/lib/clock.so"


def sql(statements: str) -> str:
    """Return the line of bash that runs statements in the portal's database."""
    return f"{PSQL} <<'END'\n{statements}\nEND"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of `doctor` on the machine `on`: `portal`, `first` or `second` gateway.

    `found` and `advice` are parts of its sentences.
    """

    on: str
    name: str
    state: str
    found: str
    advice: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the machine `on`: lines of bash that plant and mend it, and the finding."""

    name: str
    on: str
    plant: str
    mend: str
    finding: Finding


def fault(
    name: str,
    on: str,
    plant: str,
    mend: str,
    finding: tuple[str, str, str, str],
    *,
    seen_on: str = "",
) -> Fault:
    """Return a fault with its finding: name, state, and parts of both sentences."""
    return Fault(name, on, plant, mend, Finding(seen_on or on, *finding))


def stopped(on: str, unit: str) -> Fault:
    """Return the fault that a unit does not run."""
    name = unit.removesuffix(".service")
    return fault(
        f"{name} is stopped",
        on,
        f"systemctl stop {unit}",
        f"systemctl start {unit}",
        (f"units/{name}", "red", "It is inactive.", f"systemctl enable --now {unit}"),
    )


def full_disk(on: str) -> Fault:
    """Return the fault that /var/log is nearly full, in a small file system of its own."""
    return fault(
        f"the disk of the {on} is nearly full",
        on,
        "mount -t tmpfs -o size=4M planted /var/log; head -c 4000K /dev/zero >/var/log/fill",
        "umount --lazy /var/log",
        ("disk/log", "red", "/var/log has 2 %", "Find what fills it (du -x /var/log"),
    )


def exchanged(file: str, pattern: str) -> tuple[str, str]:
    """Return the lines that change a file of settings by sed, and that bring it back."""
    return f"sed -i.planted -E '{pattern}' {file}", f"mv {file}.planted {file}"


PORTAL_ENV, GATEWAY_ENV = "/etc/vpnportal/portal.env", "/etc/vpnportal/gateway.env"
SIGNER_ENV = "/etc/vpnportal/enrolment.env"
SIGNED_FOR = f"""
systemctl stop vpnportal-enrolment.service
echo VPNPORTAL_CERTIFICATE_DAYS=%s >>{SIGNER_ENV}
vpnportal certificates renew --force >/dev/null
"""
SIGN_AGAIN = f"""
sed -i /CERTIFICATE_DAYS/d {SIGNER_ENV}
vpnportal certificates renew --force >/dev/null
"""
BROKER = "VPNPORTAL_BROKER=rediss:\\/\\/[^:]*:"
REDIS = f"""
url=$(sed -n 's/^VPNPORTAL_BROKER=//p' {PORTAL_ENV})
client=/etc/vpnportal/keys/tls.key
redis() {{
    redis-cli --no-auth-warning -u "$url" --tls --cacert /etc/vpnportal/tls/ca.pem \\
        --cert $client --key $client "$@" >/dev/null
}}
"""
QUEUE = f"concentrator.{FIRST}"
OLD_MESSAGE = f"""{REDIS}
at=$(date --utc --date '-9 minutes' +%FT%T+00:00)
redis RPUSH {QUEUE} '{{"body": "", "headers": {{"expires": "'$at'"}}, "properties": {{}}}}'
"""
FORGET_MIGRATION = """
CREATE TABLE planted AS SELECT * FROM django_migrations
    WHERE app = 'vpnportal' ORDER BY name DESC LIMIT 1;
DELETE FROM django_migrations WHERE id IN (SELECT id FROM planted);
"""
EXCHANGE_KEY = """
CREATE TABLE planted_key AS SELECT id, preshared_key FROM vpnportal_tunnel LIMIT 1;
UPDATE vpnportal_tunnel SET preshared_key = overlay(
    preshared_key placing reverse(substr(preshared_key, 40, 8)) from 40
) WHERE id IN (SELECT id FROM planted_key);
"""
BRING_KEY_BACK = """
UPDATE vpnportal_tunnel SET preshared_key = planted_key.preshared_key FROM planted_key
    WHERE vpnportal_tunnel.id = planted_key.id;
DROP TABLE planted_key;
"""
# 60 of the 64 subnets of four addresses. A subnet has its first and last address as numbers.
FILL_POOL = """
INSERT INTO vpnportal_subnet (kind, network, account_id, first, last, name)
    SELECT 'service', host(n) || '/' || masklen(n), NULL, host(n)::inet - '0.0.0.0',
        broadcast(n) - '0.0.0.0', 'planted'
    FROM (VALUES ('10.1.254.0/25'::inet), ('10.1.254.128/26'), ('10.1.254.192/27'),
        ('10.1.254.224/28')) AS planted (n);
"""
NEWER_CHARON = """
mkdir /srv/newer
cat >/srv/newer/Packages <<'END'
Package: charon-systemd
Version: 99.0-1
Architecture: all
Maintainer: Debian
Filename: ./charon-systemd.deb
Size: 1
SHA256: 0000000000000000000000000000000000000000000000000000000000000000
Description: a newer charon

END
echo 'deb [trusted=yes] file:/srv/newer ./' >/etc/apt/sources.list.d/newer.list
apt-get update >/dev/null
"""
STORED = f"/var/lib/vpnportal-gateway/gateway/target/{FIRST}"
