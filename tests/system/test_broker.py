"""The queue: back within seconds after an outage, and separate for each gateway over TLS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from kombu import Connection, Message, Queue
from kombu.exceptions import DecodeError

from tests.redis_server import TlsRedis
from tests.running_portal import RunningPortal, wait_for
from vpnportal.broker_messages import MAX_BYTES
from vpnportal.deployment.broker_access import PORTAL_USER, gateway_user

# The queue carries no packet, and its seconds are those of a real machine.
pytestmark = pytest.mark.own_kernel

OURS, OTHER = "hou02-vpn01", "hou02-vpn02"
# Celery's own pause between two tries is twelve seconds after these.
OUTAGE_SECONDS = 32


def answers(portal: RunningPortal) -> bool:
    """Return True once Redis takes commands."""
    try:
        return redis.Redis(unix_socket_path=str(portal.state / "redis" / "redis.sock")).ping()
    except redis.exceptions.RedisError:
        return False


def test_an_apply_during_an_outage_is_live_within_five_seconds_after_it(live: RunningPortal):
    server = live.process("redis-server")
    keeper = int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(keeper, signal.SIGSTOP)
    os.kill(server, signal.SIGKILL)
    try:
        live.do('services.edit(tunnel, "phase_two_keylife", 3700, user)')
        number = live.do("say(services.apply(Tunnel.objects.get(pk=tunnel.pk), user).number)")
        time.sleep(OUTAGE_SECONDS)
    finally:
        os.kill(keeper, signal.SIGCONT)

    wait_for(lambda: answers(live), 10)
    took = wait_for(
        lambda: live.do(f"say(tunnel.revisions.get(number={number}).outcome)") == "live", 5
    )
    assert took < 5


def test_a_broker_that_refuses_commands_ends_no_worker_and_stops_no_apply(live: RunningPortal):
    worker, tasks = live.process("worker", host="concentrator"), live.process("portal")
    client = redis.Redis(unix_socket_path=str(live.state / "redis" / "redis.sock"))
    # As with a full disk, Redis answers each command that writes with an error.
    client.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises(redis.exceptions.ResponseError, match="NOREPLICAS"):
            client.lpush("filler", 1)
        live.do('services.edit(tunnel, "phase_two_keylife", 3800, user)')
        number = live.do("say(services.apply(Tunnel.objects.get(pk=tunnel.pk), user).number)")
        outcome = f"say(tunnel.revisions.get(number={number}).outcome)"
        # Without a message, the worker converges every ten seconds.
        wait_for(lambda: live.do(outcome) == "live", 15)
    finally:
        client.config_set("min-replicas-to-write", 0)

    assert live.apply('services.edit(tunnel, "phase_two_keylife", 3900, user)')["outcome"] == "live"
    assert live.process("worker", host="concentrator") == worker
    assert live.process("portal") == tasks


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    with TlsRedis(tmp_path_factory.mktemp("redis"), OURS, OTHER) as running:
        yield running


def celery(server: TlsRedis, user: str, concentrator: str, code: str) -> str:
    """Run code with the portal's Celery application `app`, connected as a user of Redis."""
    prelude = "import os, django\ndjango.setup()\nfrom vpnportal.celery import app\n"
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "vpnportal.settings",
        "VPNPORTAL_BROKER": server.url(user),
        "VPNPORTAL_BROKER_CA": str(server.authority),
        "VPNPORTAL_CONCENTRATOR": concentrator,
    }
    return subprocess.run(
        [sys.executable, "-c", prelude + code],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    ).stdout


SEND = 'app.send_task("vpnportal.tasks.converge", (7,), queue="concentrator.{}")'
# A worker that takes one message, says what it is, and acknowledges it.
TAKE = """
queue = app.amqp.queues.select_add("concentrator.{0}", exchange="concentrator.{0}")
with app.connection_for_read() as connection:
    with connection.SimpleQueue(queue) as messages:
        message = messages.get(timeout=5)
        print(message.payload[0])
        message.ack()
"""


def test_a_worker_takes_the_portals_message_as_the_user_of_its_gateway(server: TlsRedis):
    celery(server, PORTAL_USER, "", SEND.format(OURS))

    assert celery(server, gateway_user(OURS), OURS, TAKE.format(OURS)) == "[7]\n"


def test_a_gateway_sends_a_message_to_the_queue_of_another(server: TlsRedis):
    celery(server, gateway_user(OURS), OURS, SEND.format(OTHER))

    assert celery(server, gateway_user(OTHER), OTHER, TAKE.format(OTHER)) == "[7]\n"


@pytest.mark.parametrize(
    "command",
    [
        f"LRANGE concentrator.{OURS} 0 -1",
        f"RPOP concentrator.{OURS}",
        f"BRPOP concentrator.{OURS} 1",
        f"DEL concentrator.{OURS}",
        f"RENAME concentrator.{OURS} concentrator.{OTHER}",
        f"HGETALL unacked.{OURS}",
        f"ZRANGE unacked_index.{OURS} 0 -1",
        f"SET unacked_mutex.{OURS} 1",
        "KEYS *",
        "SCAN 0",
        "CONFIG GET *",
        "FLUSHALL",
        "ACL LIST",
        "MONITOR",
        "CLIENT LIST",
        "SUBSCRIBE /0.celeryev/worker.heartbeat",
        f"EVAL return(redis.call('rpop',KEYS[1])) 1 concentrator.{OURS}",
        "DEBUG SLEEP 0",
        "SHUTDOWN NOSAVE",
    ],
)
def test_another_gateway_may_not(server: TlsRedis, command: str):
    connection = server.client(gateway_user(OTHER))

    with pytest.raises(redis.exceptions.ResponseError):
        connection.execute_command(*command.split())


def test_a_connection_without_the_authority_or_a_password_is_refused(server: TlsRedis):
    with pytest.raises(redis.exceptions.ConnectionError):
        server.client(PORTAL_USER, authority=Path("/etc/ssl/certs/ca-certificates.crt")).ping()
    with pytest.raises(redis.exceptions.AuthenticationError):
        server.client(PORTAL_USER, password="wrong").ping()


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[tuple[redis.Redis, Connection]]:
    """Yield a client of a Redis of this test alone, and a connection to it as workers have one."""
    path = tmp_path / "redis.sock"
    command = ("redis-server", "--port", "0", "--save", "", "--unixsocket", str(path))
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        wait_for(path.exists, 10)
        with Connection(f"redis+socket://{path}", transport_options={"priority_steps": [0]}) as to:
            yield redis.Redis(unix_socket_path=str(path)), to
    finally:
        server.terminate()
        server.wait()


def test_s22_forged_messages_end_no_worker_and_are_not_decompressed(queue):
    client, connection = queue
    received, refused = [], []

    def receive(body: object, message: Message) -> None:
        received.append(body)
        message.ack()

    def refuse(message: Message, error: Exception) -> None:
        refused.append(type(error))
        message.ack()

    producer = connection.Producer(serializer="json")
    for number in range(2):
        producer.publish({"number": number}, routing_key="work", declare=[Queue("work")])
    good = [json.loads(text) for text in client.lrange("work", 0, -1)]
    zipped = b64encode(zlib.compress(b"[" + b"1," * 10_000_000 + b"1]")).decode()
    assert len(zipped) < MAX_BYTES
    properties = good[0]["properties"]
    forged = [
        "no JSON", b"\xff\xfe", "", "[1]", "[" * 10_000, "9" * 10_000, "null", '{"body": 1}',
        json.dumps({**good[0], "body": "a" * MAX_BYTES}),
        json.dumps({**good[0], "properties": {**properties, "body_encoding": "rot13"}}),
        json.dumps({**good[0], "body": "no base64!"}),
        json.dumps({**good[0], "properties": {**properties, "delivery_tag": [1]}}),
        json.dumps({**good[0], "headers": {"compression": "application/x-gzip"}, "body": zipped}),
    ]  # fmt: skip
    client.delete("work")
    client.lpush("work", json.dumps(good[1]), *forged, json.dumps(good[0]))

    with connection.Consumer(
        [Queue("work")], callbacks=[receive], on_decode_error=refuse, accept=["json"]
    ):
        while len(received) < 2:
            connection.drain_events(timeout=5)

    assert [body["number"] for body in received] == [0, 1]
    assert set(refused) == {KeyError, DecodeError}
    assert client.llen("work") == 0
