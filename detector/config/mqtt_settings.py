"""The `mqtt` section: which broker, as whom, under which topics."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from .section import ConfigSection
from .source_kind import port_is_valid
from .value_types import FilePath, HostName, Secret, Text, Topic


def _broker(url: str) -> str:
    if url == "embedded":
        return url
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:  # its text holds the URL
        host = None
    if host is None or parts.scheme not in ("mqtt", "mqtts", "ws", "wss"):
        raise ValueError("write embedded, mqtt://host:1883, mqtts://host:8883, ws://host/path or wss://host/path")
    if parts.username or parts.password:
        raise ValueError("put the user and password in mqtt.username and mqtt.password, not in the URL")
    if (parts.path not in ("", "/") and parts.scheme in ("mqtt", "mqtts")) or parts.query or parts.fragment:
        raise ValueError("nothing may follow the host and port (ws, wss: but a path)")
    if not re.fullmatch(r"(?:\[[^\]]*\]|[^\s:@\[\]]+)(:\d{1,5})?", parts.netloc) or not port_is_valid(parts.netloc):
        raise ValueError("the port must be a number between 1 and 65535")
    return url


class EmbeddedBrokerSettings(ConfigSection):
    host: HostName = "127.0.0.1"
    port: int = Field(default=1883, ge=0, le=65535, description="0: any free port")


class Mqtt(ConfigSection):
    broker: Annotated[str, AfterValidator(_broker)] = "embedded"
    embedded: EmbeddedBrokerSettings = EmbeddedBrokerSettings()
    username: Text | None = Field(default=None, max_length=1024)
    password: Secret | None = None
    password_file: FilePath | None = None
    ca_file: FilePath | None = Field(
        default=None, description="mqtts: a CA certificate to trust in addition to the system's"
    )
    tls_name: Text | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="mqtts, wss: the name in the broker's certificate, where it is another than the host's",
    )
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    client_id: Text | None = Field(default=None, min_length=1, max_length=64)
    topic_prefix: Topic = "detector"
    frigate: bool | None = Field(
        default=None, description="Frigate's further topics and HTTP paths; null: with topic_prefix: frigate"
    )
    discovery_prefix: Topic | None = "homeassistant"
    keepalive_s: int = Field(default=30, ge=5, le=3600)
    stats_interval_s: float = Field(default=10.0, ge=1.0, le=3600.0)
    snapshot_width: int = Field(
        default=960, ge=0, le=8192, description="largest width of the MQTT snapshots in px; 0: the camera's width"
    )

    @property
    def speaks_frigate(self) -> bool:
        return self.topic_prefix == "frigate" if self.frigate is None else self.frigate

    @model_validator(mode="after")
    def _credentials(self) -> Mqtt:
        if self.password and self.password_file:
            raise ValueError("give password or password_file, not both")
        if (self.password or self.password_file) and not self.username:
            raise ValueError("a password needs a username")
        if (
            self.broker == "embedded"
            and not self.username
            and self.embedded.host not in ("127.0.0.1", "::1", "localhost")
        ):
            raise ValueError("username and password are required to open the embedded broker to other machines")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self
