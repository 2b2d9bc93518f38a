"""The device's id where the configuration names none: made once from the host name, then kept in data_dir.

A container gets a new host name each time it is created; an id that followed it would leave one
retained ghost device in Home Assistant after another.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from detector.core.files import PUBLIC, write_atomically

from .schema import Config, Device
from .value_types import ID_PATTERN

log = logging.getLogger(__name__)
FILE = "device-id"


def with_kept_id(config: Config) -> Config:
    """`config` with the id that is kept in its data_dir, where it names none itself and one is kept."""
    if "id" in config.device.model_fields_set:
        return config
    kept = _kept(config.data_dir / FILE)
    if kept is None or kept == config.device.id:
        return config
    # By construction, so that the id still does not count as configured.
    device = Device.model_construct(_fields_set=config.device.model_fields_set, **{**dict(config.device), "id": kept})
    return config.model_copy(update={"device": device})


def keep_id(config: Config) -> None:
    """Keep the id that `config` came to, for the next start; call it once data_dir is there and locked.

    A configured id is not kept: it may go, and the first default comes back. A folder that cannot be
    written costs no more than a warning.
    """
    path = config.data_dir / FILE
    if "id" in config.device.model_fields_set or _kept(path) == config.device.id:
        return
    try:
        write_atomically(path, f"{config.device.id}\n", mode=PUBLIC)
    except OSError as error:
        log.warning("the device id %s cannot be kept in %s: %s", config.device.id, path, error.strerror)


def _kept(path: Path) -> str | None:
    """None where nothing, or nothing that is an id, is kept."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if re.fullmatch(ID_PATTERN, text) else None
