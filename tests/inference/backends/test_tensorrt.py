"""What the backend refuses before and while it loads; running it is tests/gpu's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from detector.core.errors import ModelError
from detector.inference.backends import tensorrt
from detector.inference.factory import load_detector
from detector.inference.tensorrt import library as module
from detector.inference.tensorrt.manifest import Environment
from support.engines import ORIN, described, write_engine

COMMAND = r"run detector build models/yolov10n\.onnx"


class _Runtime:
    """TensorRT's answer to a plan that is not for this machine: None, and a line in its log."""

    loaded: Any = None

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, _plan: bytes) -> Any:
        if self.loaded is None:
            self._logger.log(_Logger.Severity.ERROR, "The engine plan file is not compatible\nwith this version")
        return self.loaded


class _Logger:
    Severity = SimpleNamespace(ERROR=1, INTERNAL_ERROR=0, WARNING=2)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """As much of TensorRT 10.3 as is asked before a GPU is."""
    library = SimpleNamespace(__name__="tensorrt", __version__="10.3.0", Runtime=_Runtime, ILogger=_Logger)
    monkeypatch.setattr(module, "_module", lambda: library)
    module.logger.cache_clear()
    yield library
    module.logger.cache_clear()


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    write_engine(tmp_path / "m.engine")
    return tmp_path / "m.engine"


@pytest.mark.usefixtures("fake")
def test_an_engine_that_tensorrt_gives_none_for_is_refused(engine: Path) -> None:
    with pytest.raises(ModelError, match=rf"not compatible with this version\): {COMMAND}"):
        tensorrt._deserialise(engine, described())


@pytest.mark.usefixtures("fake")
def test_one_that_it_loads_is_given(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Runtime, "loaded", object())
    assert tensorrt._deserialise(engine, described())[1] is _Runtime.loaded


@pytest.mark.usefixtures("fake")
def test_a_foreign_engine_is_refused_before_it_is_loaded(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "find_gpu", lambda: None)
    with pytest.raises(ModelError, match=rf"was built for cuda 12\.6 \(here none\).*: {COMMAND}"):
        load_detector(path=engine, name="m")


@pytest.mark.usefixtures("fake")
def test_another_precision_and_no_pycuda_are_told(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Environment, "of", lambda *_: ORIN)
    with pytest.raises(ModelError, match=r"m\.engine is an fp16 engine"):
        load_detector(path=engine, name="m", precision="int8")
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(ModelError, match=r"pycuda cannot be imported .*pip install 'detector\[jetson\]'"):
        load_detector(path=engine, name="m")


def test_an_engine_without_its_description_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.engine").write_bytes(b"a plan")
    with pytest.raises(ModelError, match=r"has no m\.engine\.json beside it"):
        load_detector(path=tmp_path / "m.engine", name="m")


def test_an_engine_needs_its_own_backend(engine: Path) -> None:
    with pytest.raises(ModelError, match=r"m\.engine is a TensorRT engine: use backend tensorrt or auto"):
        load_detector(path=engine, name="m", backend="openvino")
