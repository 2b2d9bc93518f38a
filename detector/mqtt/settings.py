"""How to reach the broker, from the configuration."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from detector.config.schema import Config

ProtocolName = Literal["5", "3.1.1"]
_DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """How to reach a broker; `protocol` "auto" tries MQTT 5 first, then 3.1.1.

    `websocket_path`: over WebSocket, with this path; None: plain TCP. `tls_name`: the name that the broker's
    certificate must hold, None: `host`.
    """

    host: str
    port: int
    client_id: str
    tls: bool = False
    tls_name: str | None = None
    websocket_path: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive_s: int = 30
    connect_timeout_s: float = 5.0
    protocol: Literal["auto", "5", "3.1.1"] = "auto"

    @property
    def address(self) -> str:
        """As a URL without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "mqtt" if self.websocket_path is None else "ws"
        return f"{scheme}{'s' if self.tls else ''}://{host}:{self.port}{self.websocket_path or ''}"

    @property
    def protocols(self) -> tuple[ProtocolName, ...]:
        """The versions worth trying, best first."""
        return ("5", "3.1.1") if self.protocol == "auto" else (self.protocol,)


def settings_of(config: Config, *, password: SecretStr | None, embedded_port: int | None = None) -> MqttSettings:
    """How to reach the configured broker; `embedded_port` is where the embedded one listens."""
    mqtt = config.mqtt
    common = MqttSettings(
        host=mqtt.embedded.host,
        port=mqtt.embedded.port if embedded_port is None else embedded_port,
        client_id=mqtt.client_id or f"detector-{config.device.id}",
        username=mqtt.username,
        password=password,
        keepalive_s=mqtt.keepalive_s,
        protocol="3.1.1",
    )
    if mqtt.broker == "embedded":
        any_address = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to be reached, not bound
        # Whoever else may connect and names our client id ends our session: be unguessable.
        client_id = mqtt.client_id or f"{common.client_id}-{secrets.token_hex(8)}"
        return replace(common, host=any_address.get(common.host, common.host), client_id=client_id)
    url = urlsplit(mqtt.broker)
    return replace(
        common,
        host=url.hostname or "",
        port=url.port or _DEFAULT_PORTS[url.scheme],
        protocol="auto",
        tls=url.scheme in ("mqtts", "wss"),
        tls_name=mqtt.tls_name,
        websocket_path=(url.path or "/mqtt") if url.scheme in ("ws", "wss") else None,
        ca_file=mqtt.ca_file,
        cert_file=mqtt.cert_file,
        key_file=mqtt.key_file,
    )
