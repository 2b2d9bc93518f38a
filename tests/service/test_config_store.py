from __future__ import annotations

from pathlib import Path

from detector.config import document as config_file
from detector.service.config_store import ConfigStore

OLD = {"cameras": {"porch": {"source": "a.mp4"}}}
NEW = {"cameras": {"door": {"source": "b.mp4"}}}


def _store(path: Path | None) -> ConfigStore:
    return ConfigStore(document=OLD, path=path, config=config_file.validate(OLD))


def test_document_and_config_change_together() -> None:
    store = _store(None)
    before = store.current
    store.replace(NEW, config_file.validate(NEW))
    assert (list(before.config.cameras), list(before.document["cameras"])) == (["porch"], ["porch"])
    assert (list(store.config.cameras), list(store.current.document["cameras"])) == (["door"], ["door"])


def test_it_is_written_to_where_it_came_from(tmp_path: Path) -> None:
    path = tmp_path / "detector.yaml"
    _store(path).write(NEW)
    assert config_file.read(path) == NEW


def test_what_came_from_no_file_is_written_nowhere(tmp_path: Path) -> None:
    _store(None).write(NEW)
    assert list(tmp_path.iterdir()) == []
