"""What a configuration that comes over HTTP may change: less than the file on disk may hold.

Whoever holds the API's token must not be able to read files, run pipelines, reach services of this
machine, or send a secret that is masked (`***`) or in the environment to another host.
"""

from __future__ import annotations

import copy
import fnmatch
from pathlib import Path
from typing import Any

from detector.core.addresses import bind_fault, names_this_machine
from detector.core.errors import ConfigError
from detector.core.files import cache_dir
from detector.core.redact import MASK
from detector.core.urls import SplitUrl, split_url

from .document import unmasked
from .masking import Document, mask_value, masked
from .secret_keys import is_secret_key
from .source_kind import source_kind

FILE_ONLY = (
    ("data_dir",),
    *(("mqtt", key) for key in ("password_file", "ca_file", "cert_file", "key_file")),
    ("api", "allowed_sources"),
)
_MODEL_SUFFIXES = (".onnx", ".engine", ".xml", ".pt")
_AGAIN = f"{MASK} stands for a secret of another host, or of none: give the secret again"


def accepted(sent: Document, current: Document) -> Document:
    """The document to apply for `sent`: masked secrets put back; raises ConfigError that names the key.

    Values that `current`, the file's own document, holds may stay whatever they are.
    """
    _refuse_new_variables(sent, current)
    _refuse_file_keys(sent, current)
    _keep_targets(sent, current)
    _refuse_moved_password(sent, current)
    document = unmasked(sent, current)
    for key, value in current.items():
        if key.startswith("x-"):
            document.setdefault(key, copy.deepcopy(value))
    for name, camera in _cameras(document).items():
        for key in ("source", "record_source"):
            if isinstance(camera.get(key), str):
                camera[key] = _source(camera[key], current, f"cameras.{name}.{key}")
    _refuse_masks(document)
    _check_model(document, current)
    _check_listeners(document, current)
    return document


def _cameras(document: Document) -> dict[str, Document]:
    cameras = document.get("cameras")
    return {n: c for n, c in cameras.items() if isinstance(c, dict)} if isinstance(cameras, dict) else {}


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _texts(value: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        return [(path, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in _texts(item, (*path, str(key)))]


def _place(path: tuple[str, ...]) -> tuple[str, ...]:
    """The path without a camera's name: a camera may be renamed."""
    return (path[0], "*", *path[2:]) if path[0] == "cameras" else path


def _refuse_new_variables(sent: Document, current: Document) -> None:
    known = [(_place(path), form) for path, text in _texts(current) for form in (text, mask_value(path[-1], text))]
    for path, text in _texts(sent):
        if "$" in text.replace("$$", "") and not path[0].startswith("x-") and (_place(path), text) not in known:
            raise ConfigError(
                "over HTTP no new ${...} is taken: write the variable into the config file itself", key=".".join(path)
            )


def _refuse_file_keys(sent: Document, current: Document) -> None:
    for path in FILE_ONLY:
        value, before = _at(sent, path), _at(current, path)
        if value != before and value != mask_value(path[-1], before):
            raise ConfigError("this can be changed in the config file itself alone, not over HTTP", key=".".join(path))


def _keep_targets(sent: Document, current: Document) -> None:
    """Notifications reach other hosts, and this one: who may be told is the file's alone."""
    before = {"notify": current["notify"]} if current.get("notify") else {}
    if (sent.get("notify") or []) not in (before.get("notify", []), masked(before).get("notify", [])):
        raise ConfigError("this can be changed in the config file itself alone, not over HTTP", key="notify")


def _refuse_moved_password(sent: Document, current: Document) -> None:
    """A password that the sender does not know goes to the broker that it was for, or not at all."""
    before, after = _at(current, ("mqtt", "broker")), _at(sent, ("mqtt", "broker"))
    if (before or "embedded") == (after or "embedded"):
        return
    if _at(current, ("mqtt", "password_file")) is not None:
        raise ConfigError(
            "password_file is for the broker of now: change both in the config file itself", key="mqtt.broker"
        )
    password = _at(sent, ("mqtt", "password"))
    if isinstance(password, str) and (MASK in password or "${" in password):
        raise ConfigError("the broker changed: give the password again", key="mqtt.password")


def _source(source: str, current: Document, key: str) -> str:
    """The source with its secrets put back, if it may be set over HTTP."""
    known = [camera[k] for camera in _cameras(current).values() for k in ("source", "record_source") if k in camera]
    if source in known:
        return source
    if MASK in source:
        source = _with_secret(source, [text for text in known if isinstance(text, str)], key)
    patterns = _at(current, ("api", "allowed_sources")) or ()
    if ".." not in source and any(fnmatch.fnmatchcase(source, str(pattern)) for pattern in patterns):
        return source
    try:
        kind = source_kind(source)
    except ValueError as error:
        raise ConfigError(str(error), key=key) from None
    if kind in ("file", "gstreamer"):
        raise ConfigError(
            "over HTTP a camera is rtsp(s)://, http(s)://, usb://N or csi://N; a file or a pipeline is set in the config "
            "file itself, or listed there under api.allowed_sources",
            key=key,
        )
    split = split_url(source)
    if kind == "http" and (split is None or names_this_machine(_host(split))):
        raise ConfigError(
            "over HTTP no http(s) camera may be on this machine itself, link-local or multicast: set it in the config "
            "file itself, or list it there under api.allowed_sources",
            key=key,
        )
    return source


def _host(split: SplitUrl) -> str:
    return split.place.rpartition("]")[0].lstrip("[") or split.place.partition(":")[0]


def _with_secret(source: str, known: list[str], key: str) -> str:
    """The user-info of the known source at the same scheme, host and port, where only the path was changed."""
    split = split_url(source)
    if split is not None and split.info == MASK and MASK not in split.rest:
        olds = {old.info for old in map(split_url, known) if old is not None and _same_host(old, split)}
        if len(olds) == 1 and (info := olds.pop()) is not None:
            return f"{split.scheme}://{info}@{split.place}{split.rest}"
    raise ConfigError(_AGAIN, key=key)


def _same_host(old: SplitUrl, new: SplitUrl) -> bool:
    return (old.scheme, old.place.lower()) == (new.scheme, new.place.lower()) and old.info is not None


def _refuse_masks(document: Document) -> None:
    for path, text in _texts(document):
        is_secret = is_secret_key(path[-1]) or "://" in text or text == MASK or text.lower().startswith("gst:")
        if MASK in text and is_secret and not path[0].startswith("x-"):
            raise ConfigError(_AGAIN, key=".".join(path))


def _check_model(document: Document, current: Document) -> None:
    name = _at(document, ("model", "name"))
    if not isinstance(name, str) or name == _at(current, ("model", "name")):
        return
    if "/" not in name and "\\" not in name and not name.startswith("~") and not name.lower().endswith(_MODEL_SUFFIXES):
        return  # a name of the registry's, or of nothing
    data_dir = Path(str(_at(current, ("data_dir",)) or "data"))
    folders = [folder.resolve() for folder in (cache_dir() / "models", cache_dir() / "engines", data_dir / "models")]
    if not any(folder in Path(name).expanduser().resolve().parents for folder in folders):
        raise ConfigError(
            "over HTTP a model is a registry name or a file in the model folder "
            f"({folders[0]}): set another path in the config file itself",
            key="model.name",
        )


def _check_listeners(document: Document, current: Document) -> None:
    """Refuse an address that the next start could not listen on."""
    for section, default_port in ((("api",), 8080), (("mqtt", "embedded"), 1883)):
        before, after = _at(current, section) or {}, _at(document, section) or {}
        if not isinstance(before, dict) or not isinstance(after, dict):
            continue
        host, port = after.get("host") or "127.0.0.1", after.get("port", default_port)
        if (host, port) == (before.get("host") or "127.0.0.1", before.get("port", default_port)):
            continue
        is_sound = isinstance(host, str) and isinstance(port, int) and 0 <= port < 65536
        if is_sound and (fault := bind_fault(host, port)):
            raise ConfigError(fault, key=".".join((*section, "host")))
