"""Who is told of alerts besides the MQTT broker: phones and mail through Apprise, programs through a webhook."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from .section import ConfigSection
from .source_kind import port_is_valid
from .template import checked
from .value_types import Identifier, Secret, Text, Unit

MIN_SECRET = 16
Template = Annotated[Text, AfterValidator(checked)]
TITLE = "{camera}: a person"
TEXT = "A person at {camera} on {date} at {time}. {snapshot_url}"


def _apprise_url(secret: SecretStr) -> SecretStr:
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://.", secret.get_secret_value().strip()):
        raise ValueError("write an Apprise URL such as ntfy://host/topic, tgram://TOKEN/CHAT or mailto://...")
    return secret


def _webhook(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value()
    try:
        split = urlsplit(url)
        sound = split.scheme in ("http", "https") and split.hostname and url.isascii() and url.isprintable()
        sound = (
            sound and " " not in url and "@" not in split.netloc and not split.fragment and port_is_valid(split.netloc)
        )
    except ValueError:
        sound = False
    if not sound:
        raise ValueError("write http(s)://host[:port]/path, without a user, blanks or #")
    return secret


class NotifyTarget(ConfigSection):
    name: Identifier
    url: Annotated[Secret, AfterValidator(_apprise_url)] | None = Field(
        default=None, description="where to, as an Apprise URL (pip install detector[notify])"
    )
    webhook: Annotated[Secret, AfterValidator(_webhook)] | None = Field(
        default=None, description="where to, as an http(s) address that takes a signed POST of the alert's JSON"
    )
    secret: Secret | None = Field(default=None, description="webhook: the key of its signature, at least 16 characters")
    cameras: tuple[Identifier, ...] = Field(default=(), description="only these cameras' alerts; none: all")
    min_score: Unit = Field(default=0.0, description="only alerts of at least this score")
    picture: bool = Field(default=True, description="Apprise: attach the alert's picture")
    title: Template = Field(default=TITLE, min_length=1, max_length=200)
    text: Template = Field(default=TEXT, min_length=1, max_length=2000)
    keep_h: float = Field(
        default=24.0, gt=0.0, le=8760.0, description="hours after which an alert that could not be delivered is dropped"
    )

    @model_validator(mode="after")
    def _one_way(self) -> NotifyTarget:
        if (self.url is None) == (self.webhook is None):
            raise ValueError("give url (Apprise) or webhook, one of them")
        if self.webhook is not None and self.secret is None:
            raise ValueError("a webhook needs secret: the receiver checks the signature with it")
        if self.secret is not None and len(self.secret.get_secret_value()) < MIN_SECRET:
            raise ValueError(f"secret is too short: use at least {MIN_SECRET} characters")
        if self.secret is not None and self.webhook is None:
            raise ValueError("secret is for a webhook: an Apprise URL holds its own")
        return self
