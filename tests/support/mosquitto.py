"""A real Mosquitto for tests: a child process on a free loopback port, killable and restartable."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

_SBIN = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
DEADLINE = 150.0  # seconds: generous, nothing is timed; on a busy machine a start alone takes one


def free_port() -> int:
    """One below those that the kernel gives to outgoing connections: it stays free while its server is down."""
    chosen = random.SystemRandom()  # tests that share a seed run beside each other
    while True:
        port = chosen.randrange(10_000, 32_768)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def program(name: str) -> str:
    path = shutil.which(name, path=_SBIN)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian: mosquitto, openssl)")
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Paths of a throw-away CA and of a certificate for 127.0.0.1 and localhost that it signed."""

    ca: Path
    cert: Path
    key: Path


def make_certificates(folder: Path, *, names: str = "IP:127.0.0.1,DNS:localhost") -> Certificates:
    """By the openssl command line, good for a day; `names` are the broker's."""
    openssl, made = (
        program("openssl"),
        Certificates(ca=folder / "ca.pem", cert=folder / "srv.pem", key=folder / "srv.key"),
    )
    ca_key, request, extensions = folder / "ca.key", folder / "srv.csr", folder / "srv.ext"
    extensions.write_text(f"subjectAltName={names}\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    ca_subject = ["-subj", "/CN=test CA", "-addext", "keyUsage=critical,keyCertSign"]
    validity = ["-out", made.cert, "-days", "1", "-extfile", extensions]
    for arguments in (
        ["req", "-x509", *new_key, "-keyout", ca_key, "-out", made.ca, "-days", "1", *ca_subject],
        ["req", *new_key, "-keyout", made.key, "-out", request, "-subj", "/CN=localhost"],
        ["x509", "-req", "-in", request, "-CA", made.ca, "-CAkey", ca_key, "-CAcreateserial", *validity],
    ):
        subprocess.run([openssl, *map(str, arguments)], check=True, capture_output=True, timeout=30)
    return made


class Mosquitto:
    """The broker; `start`, `kill` (SIGKILL), `stop`, on the same port each time."""

    def __init__(
        self,
        folder: Path,
        *,
        credentials: tuple[str, str] | None = None,
        certificates: Certificates | None = None,
        acl: str | None = None,
        persistent: bool = False,
        verbose: bool = True,
        options: Sequence[str] = (),
    ) -> None:
        """`verbose` logs every packet, which tests read and benches must not pay for."""
        self.port = free_port()
        self.database = folder / "mosquitto.db"
        self._binary = program("mosquitto")
        self._folder = folder
        self._flags = ["-v"] if verbose else []
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"listener {self.port} 127.0.0.1", "set_tcp_nodelay true", "max_inflight_messages 0", *options]
        lines += self._access(credentials, acl)
        if os.geteuid() == 0:
            lines.append("user root")  # it would otherwise drop to a user who may not read a test's folder
        if certificates is not None:
            lines += [f"certfile {certificates.cert}", f"keyfile {certificates.key}"]
        if persistent:
            lines += ["persistence true", f"persistence_location {folder}/"]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def _access(self, credentials: tuple[str, str] | None, acl: str | None) -> list[str]:
        lines = [f"allow_anonymous {'false' if credentials else 'true'}"]
        if acl is not None:
            (self._folder / "acl").write_text(acl)
            (self._folder / "acl").chmod(0o600)
            lines.append(f"acl_file {self._folder / 'acl'}")
        if credentials is not None:
            passwords = self._folder / "passwords"
            command = [program("mosquitto_passwd"), "-b", "-c", str(passwords), *credentials]
            subprocess.run(command, check=True, capture_output=True, timeout=30)
            lines.append(f"password_file {passwords}")
        return lines

    def start(self) -> None:
        """Returns once it listens."""
        with (self._folder / "mosquitto.log").open("ab") as log:
            command = [self._binary, "-c", str(self._folder / "mosquitto.conf"), *self._flags]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"mosquitto did not start: {self.log()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)  # a child process gives no event to wait on
            else:
                return
        raise RuntimeError(f"mosquitto does not listen: {self.log()}")

    def log(self) -> str:
        return (self._folder / "mosquitto.log").read_text(errors="replace")

    def save(self) -> None:
        """Have the sessions written to disk now (needs `persistent`)."""
        assert self._process is not None
        self.database.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR1)
        wait_until(self.database.exists)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(number)
                if number != signal.SIGKILL:
                    self._process.send_signal(signal.SIGCONT)  # a stopped process would not notice
            self._process.wait(DEADLINE)
            self._process = None


def wait_until(condition: Callable[[], object], what: str = "") -> None:
    """For what gives no event: look again every 10 ms."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, what or "the wait was in vain"
        time.sleep(0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message as a subscriber received it."""

    topic: str
    payload: bytes
    retained: bool
    qos: int


class RecordingSubscriber:
    """An independent client that writes down all it hears; subscribed once the constructor returns.

    `durable` keeps the subscription in the broker while this client is away.
    """

    def __init__(
        self,
        port: int,
        *filters: str,
        durable: str | None = None,
        credentials: tuple[str, str] | None = None,
        ca: Path | None = None,
    ) -> None:
        self.heard: list[Heard] = []
        self._changed = threading.Condition()
        self._subscribed = threading.Event()
        self._filters = filters or ("#",)
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=durable or "",
            clean_session=durable is None,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        if credentials is not None:
            self._client.username_pw_set(*credentials)
        if ca is not None:
            self._client.tls_set(str(ca))
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe([(f, 1) for f in self._filters])
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port, keepalive=30)
        self._client.loop_start()
        assert self._subscribed.wait(DEADLINE), "the subscriber could not subscribe"

    def _on_message(self, _client: object, _userdata: object, m: paho.MQTTMessage) -> None:
        with self._changed:
            self.heard.append(Heard(topic=m.topic, payload=bytes(m.payload), retained=bool(m.retain), qos=m.qos))
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[list[Heard]], object], what: str = "") -> list[Heard]:
        """All heard so far, once `condition` holds for it."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self.heard), DEADLINE), (
                f"{what or 'not heard'}: {[(h.topic, h.payload[:80]) for h in self.heard[-10:]]}"
            )
            return list(self.heard)

    def last(self, topic: str) -> bytes | None:
        with self._changed:
            return next((h.payload for h in reversed(self.heard) if h.topic == topic), None)

    def publish(self, topic: str, payload: bytes | str, *, qos: int = 1, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos, retain).wait_for_publish(DEADLINE)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        # Its callbacks are bound to this object: without the circle its sockets are closed with it.
        self._client.on_connect = self._client.on_subscribe = self._client.on_message = None
