"""Faults for installed machines, each with the finding of `vpnportal doctor` that it must cause.

Faults of one round are planted together, because none of them hides a finding of another one.
"""

from __future__ import annotations

from tests.machines.planted import (
    BRING_KEY_BACK,
    BROKER,
    CLOCK_FILE,
    EXCHANGE_KEY,
    FILL_POOL,
    FIRST,
    FORGET_MIGRATION,
    GATEWAY_ENV,
    NEWER_CHARON,
    OLD_MESSAGE,
    PORTAL_ENV,
    QUEUE,
    REDIS,
    SECOND,
    SIGN_AGAIN,
    SIGNED_FOR,
    STORED,
    exchanged,
    fault,
    full_disk,
    sql,
    stopped,
)

# The worker of the first gateway is stopped, so that it repairs nothing of this.
EVERYTHING_AT_ONCE = (
    *(stopped("first", f"vpnportal-{name}@{FIRST}.service") for name in ("worker", "monitor")),
    stopped("first", f"vpnportal-routes@{FIRST}.service"),
    fault(
        "the gateway forwards nothing",
        "first",
        "sysctl -qw net.ipv4.ip_forward=0",
        # Its change sets the other settings of each interface to their defaults.
        "sysctl -qw net.ipv4.ip_forward=1\n"
        "sysctl --quiet --load=/usr/lib/sysctl.d/60-vpnportal.conf || true",
        ("requirements/forwarding", "red", "forwards no packets", "net.ipv4.ip_forward"),
    ),
    fault(
        "the reverse path filter is strict",
        "first",
        "for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 >$file; done",
        "for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 2 >$file; done",
        ("requirements/rp_filter", "yellow", "rp_filter is strict on", "rp_filter to 2"),
    ),
    fault(
        "another chain drops what is forwarded",
        "first",
        "nft 'add table ip planted; add chain ip planted forward"
        " { type filter hook forward priority 0; policy drop; }'",
        "nft delete table ip planted",
        (
            *("requirements/other_rules", "yellow", "The chain ip planted forward drops"),
            "Accept there the packets of tunnels",
        ),
    ),
    fault(
        "the rules of the portal are gone",
        "first",
        "nft delete table ip vpnportal",
        "true",
        ("applied_state", "red", "write the rules", f"journalctl -u vpnportal-worker@{FIRST}"),
    ),
    fault(
        "a tunnel is unloaded from charon",
        "first",
        # It unloads what is in no file.
        "swanctl --load-conns >/dev/null",
        "true",
        ("applied_state", "red", "load the connection ctx", "The worker does that"),
    ),
    fault(
        "others read the passwords of the gateway",
        "first",
        f"chmod 644 {GATEWAY_ENV}",
        f"chmod 600 {GATEWAY_ENV}",
        ("keys/gateway.env", "red", "has the mode 0644", f"chmod go= {GATEWAY_ENV}"),
    ),
    fault(
        "others read a stored tunnel",
        "first",
        f"chmod 644 {STORED}/*.json",
        f"chmod 600 {STORED}/*.json",
        ("stored_tunnels", "red", "has the mode 0644", "chmod -R go="),
    ),
    fault(
        "Debian has a newer charon",
        "first",
        NEWER_CHARON,
        "rm -r /srv/newer /etc/apt/sources.list.d/newer.list; apt-get update >/dev/null",
        (
            *("charon_version", "yellow", "and Debian has 99.0-1."),
            "apt-get install --only-upgrade charon-systemd",
        ),
    ),
    full_disk("first"),
    *(stopped("portal", f"vpnportal-{name}.service") for name in ("web", "beat", "tasks")),
    stopped("portal", "vpnportal-enrolment.socket"),
    stopped("portal", "vpnportal-certificates.timer"),
    fault(
        "others read the passwords of the portal",
        "portal",
        f"chmod 644 {PORTAL_ENV}",
        f"chmod 600 {PORTAL_ENV}",
        ("keys/portal.env", "red", "has the mode 0644", f"chmod go= {PORTAL_ENV}"),
    ),
    fault(
        "a sealed row does not open",
        "portal",
        sql(EXCHANGE_KEY),
        sql(BRING_KEY_BACK),
        ("seals", "red", "sealed values do not open, such as tunnel", "new preshared key"),
    ),
    fault(
        "the newest backup is old",
        "portal",
        "touch --date '3 days ago' /var/backups/vpnportal/*.tar",
        "touch /var/backups/vpnportal/*.tar",
        ("backup", "yellow", ".tar, 72 hours old.", "Make one: see Backups"),
    ),
    fault(
        "a pool is nearly used up",
        "portal",
        sql(FILL_POOL),
        sql("DELETE FROM vpnportal_subnet WHERE name = 'planted';"),
        (
            *(f"pools/{SECOND}/static-nat", "yellow", "Free static NAT subnets: 4 of 64."),
            f"`vpnportal gateway add {SECOND} --static-nat NETWORK`",
        ),
    ),
    fault(
        "no worker takes the messages of a queue",
        "portal",
        OLD_MESSAGE,
        f"{REDIS}\nredis DEL {QUEUE}",
        (
            *(f"queues/{FIRST}", "red", "of which the oldest has waited 10 minutes or longer."),
            f"systemctl restart vpnportal-worker@{FIRST}",
        ),
    ),
    fault(
        "a gateway has another release",
        "portal",
        sql("UPDATE vpnportal_concentrator SET release = '99.9' WHERE name = 'hou02-vpn01';"),
        "true",
        (f"releases/{FIRST}", "red", "It has the release 99.9, and", "Upgrade the portal"),
    ),
    fault(
        "the mail server refuses",
        "portal",
        f"echo VPNPORTAL_MAIL=smtp://127.0.0.1:1 >>{PORTAL_ENV}",
        f"sed -i /^VPNPORTAL_MAIL=/d {PORTAL_ENV}",
        ("mail", "red", "127.0.0.1:1 takes no mail: ", "`vpnportal setup --mail-server URL"),
    ),
    fault(
        "the web server is stopped",
        "portal",
        "systemctl stop nginx",
        "systemctl start nginx",
        ("web/gateways", "red", "does not answer on port 8443", "systemctl status nginx"),
    ),
    full_disk("portal"),
)
OF_SERVICES = (
    fault(
        "the password of Redis is wrong",
        "portal",
        *exchanged(PORTAL_ENV, f"s/^({BROKER})[^@]*/\\1wrong/"),
        ("broker", "red", "Redis refuses the user and password", "and run `vpnportal setup`"),
    ),
    fault(
        "charon is stopped",
        "first",
        "systemctl stop strongswan",
        "systemctl start strongswan",
        (
            *("units/strongswan", "red", "It is inactive."),
            "systemctl enable --now strongswan.service",
        ),
    ),
    fault(
        "the clock of a gateway is ahead",
        "second",
        f"echo {CLOCK_FILE} >/etc/ld.so.preload; systemctl restart vpnportal-monitor@{SECOND}",
        f"rm /etc/ld.so.preload; systemctl restart vpnportal-monitor@{SECOND}",
        ("clock/database", "red", "s ahead of that of the database.", "timedatectl"),
    ),
    fault(
        "a gateway reports with another clock",
        "second",
        "true",
        "true",
        (
            *(f"reports/{SECOND}", "red", "It reports, but its clock is "),
            "Install chrony or systemd-timesyncd",
        ),
        seen_on="portal",
    ),
    fault(
        "the password of PostgreSQL is wrong",
        "first",
        *exchanged(GATEWAY_ENV, "s/^(VPNPORTAL_DATABASE_URL=[^:]*:\\/\\/[^:]*:)[^@]*/\\1wrong/"),
        ("database", "red", "It does not answer: ", "or correct VPNPORTAL_DATABASE_URL"),
    ),
    stopped("second", f"vpnportal-worker@{SECOND}.service"),
)
OF_RIGHTS = (
    fault(
        "the roles of gateways lost a right",
        "portal",
        sql('REVOKE ALL ON vpnportal_concentrator FROM "vpnportal-gateways";'),
        # As the sentence says.
        "vpnportal migrate >/dev/null",
        ("concentrator", "red", "PostgreSQL refuses what it needs: ", "`vpnportal migrate`"),
        seen_on="first",
    ),
    fault(
        "the certificates end soon",
        "portal",
        # For three minutes, which is less than a quarter of a life that began ten minutes ago.
        SIGNED_FOR % 0.002,
        SIGN_AGAIN,
        ("web/gateways", "yellow", "It ends in 0 days", "`vpnportal certificates renew --force`"),
    ),
)
OF_THE_END = (
    fault(
        "a migration is missing",
        "portal",
        sql(FORGET_MIGRATION),
        sql("INSERT INTO django_migrations SELECT * FROM planted; DROP TABLE planted;"),
        ("schema", "red", "The database is older than this release", "Run `vpnportal migrate`."),
    ),
    fault(
        "the certificates have ended",
        "portal",
        SIGNED_FOR % 0.0001,
        SIGN_AGAIN,
        (
            *("certificates/broker", "red", "It ended on "),
            "Issue it again on the portal: `vpnportal certificates renew --force`.",
        ),
    ),
    fault(
        "a gateway sees that the certificate of the database has ended",
        "portal",
        "true",
        "true",
        (
            *("certificates/database", "red", "It ended on "),
            "Issue it again on the portal: `vpnportal certificates renew --force`.",
        ),
        seen_on="second",
    ),
)
ROUNDS = (EVERYTHING_AT_ONCE, OF_SERVICES, OF_RIGHTS, OF_THE_END)
FAULTS = tuple(fault for faults in ROUNDS for fault in faults)
