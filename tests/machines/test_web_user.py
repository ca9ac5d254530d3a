"""The user of an installed web process changes nothing of root, and slow clients delay nothing."""

from __future__ import annotations

import json

from tests.running_portal import PATIENCE

OWN_FOLDERS = ("/var/lib/vpnportal", "/var/backups/vpnportal")
# All files that root has in the folders of the product, with owner, mode, size, change and content.
LOOK = r"""
find /root /etc/vpnportal /usr/lib/vpnportal /etc/nginx /etc/systemd/system \
    -printf '%p %u:%g %m %s %T@ %l\n' | sort
sha256sum /root/victim /etc/vpnportal/*.env
"""
# Links where programs of the product expect files, as an intruder in the web process would
# make them. `d` is the folder of a backup that a power failure left.
PLANT = r"""
cd /var/lib/vpnportal
mkdir -p db && ln -s /root/victim db/portal.sqlite3
for name in victim new; do ln -sfn /root/$name planted-$name; done
for name in keys static redis postgresql web log password portal.env; do
    [ -e $name ] || ln -sfn /root/victim $name
done
cd /var/backups/vpnportal
ln -sfn /root/new 2000-01-01.tar
for day in $(seq -w 1 20); do ln -sfn /root/victim 1999-01-$day.tar; done
ln -sfn /root/folder .vpnportal-planted
mkdir -p .vpnportal-d && ln -sfn /root/folder .vpnportal-d/folder
touch --no-dereference --date '2 hours ago' .vpnportal-planted .vpnportal-d
"""
# The work of root: what timers, upgrades and operators start.
WORK = """
for unit in vpnportal-certificates vpnportal-backup; do systemctl start $unit.service || true; done
systemd-tmpfiles --create vpnportal.conf
dpkg-reconfigure vpnportal
systemctl restart vpnportal-web vpnportal-tasks
vpnportal doctor >/dev/null || true
"""
CLEAN = """
find /var/lib/vpnportal /var/backups/vpnportal -type l -delete
rm -rf /var/lib/vpnportal/db /var/backups/vpnportal/.vpnportal-d /root/victim /root/folder
"""


def test_s1_the_web_user_of_an_installation_changes_no_file_of_root(installed):
    portal = installed.portal
    as_web = ("runuser", "--user", "vpnportal", "--")
    find = ("find", "/", "-xdev", "-writable", "-type", "d", "-not", "-perm", "-1000")
    writable = portal.run(*as_web, *find, check=False).splitlines()
    assert writable, "otherwise the search found nothing"
    assert [path for path in writable if not path.startswith(OWN_FOLDERS)] == []

    portal.script("umask 077; echo root >/root/victim; mkdir -p /root/folder; touch /root/folder/x")
    before = portal.script(LOOK)
    try:
        portal.run(*as_web, "sh", "-c", PLANT)
        portal.script(WORK)
        assert portal.script(LOOK) == before
    finally:
        portal.script(CLEAN)


def test_s1_no_process_of_root_has_a_file_open_in_a_folder_of_the_web_user(installed):
    portal = installed.portal
    opened = "find /proc/[0-9]*/fd -lname '{}/*' -printf '%u %l\\n' 2>/dev/null || true"
    portal.run("runuser", "--user", "vpnportal", "--", "sh", "-c", "echo >/var/lib/vpnportal/held")
    hold = "exec 3</var/lib/vpnportal/held; " + opened.format("/var/lib/vpnportal")
    assert "root /var/lib/vpnportal/held" in portal.script(hold), "otherwise none would be found"

    for folder in OWN_FOLDERS:
        lines = portal.script(opened.format(folder)).splitlines()
        assert [line for line in lines if line.startswith("root ")] == []
    portal.run("rm", "/var/lib/vpnportal/held")


# Opens connections that send their header, their body or nothing, from several addresses, and then
# gets a page ten times. Prints the longest time in seconds and the number of connections.
SLOW_CLIENTS = r"""
import json, socket, ssl, sys, time, urllib.request
context = ssl.create_default_context(cafile="/etc/vpnportal/tls/ca.pem")
name, clients = sys.argv[1], []
head = f"Host: {name}\r\n"
form = "Cookie: csrftoken=" + "a" * 32 + "\r\nContent-Type: application/x-www-form-urlencoded\r\n"
texts = (
    f"GET / HTTP/1.1\r\n{head}X-Slow: ",
    # Django reads the body for the CSRF token of the form.
    f"POST /sign-in/ HTTP/1.1\r\n{head}Referer: https://{name}/sign-in/\r\n{form}"
    "Content-Length: 100000\r\n\r\na=",
    f"GET /static/app.js HTTP/1.1\r\n{head}\r\n",
)
for number in range(201):
    source = (f"127.0.1.{number % 20 + 1}", 0)
    client = socket.create_connection(("127.0.0.1", 443), 10, source_address=source)
    client = context.wrap_socket(client, server_hostname=name)
    client.sendall(texts[number % 3].encode())
    clients.append(client)
longest = 0
for _ in range(10):
    began = time.monotonic()
    urllib.request.urlopen(f"https://{name}/sign-in/", timeout=60, context=context).read()
    longest = max(longest, time.monotonic() - began)
    for client in clients[1::3]:
        client.sendall(b" ")
print(json.dumps([longest, len(clients)]))
"""


def test_s2_two_hundred_slow_clients_do_not_delay_a_page_of_the_packaged_nginx(installed):
    python = "/usr/lib/vpnportal/venv/bin/python"
    printed = installed.portal.run(python, "-", "vpn.example.net", text=SLOW_CLIENTS)

    longest, number = json.loads(printed)
    assert number == 201
    assert longest < PATIENCE
