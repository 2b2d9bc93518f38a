"""An ONNX graph in PyTorch gives the numbers of ONNX Runtime, and goes back into its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.core.errors import ModelError
from detector.inference.factory import open_backend
from detector.models.graph.variants import prepare
from detector.models.registry import Registry, load_registry

pytestmark = pytest.mark.optimize


@pytest.fixture(scope="module")
def registry(shared: Path) -> Registry:
    return load_registry()


def test_yolox_nano_gives_the_same_numbers(registry: Registry, torch: Any) -> None:
    from detector.models.graph.onnx_file import read
    from detector.optimize.specialise.graph_network import GraphNetwork

    path = prepare(registry.resolve("yolox-nano").path, shape=(160, 128))
    network = GraphNetwork(read(path))
    picture = np.random.default_rng(0).uniform(0, 255, (1, 3, 128, 160)).astype(np.float32)
    backend = open_backend(path)
    try:
        wanted = backend.run(picture)[0]
    finally:
        backend.close()
    found = network(torch.from_numpy(picture)).detach().numpy()
    assert np.abs(found - wanted).max() < 1e-3
    two = network(torch.from_numpy(np.concatenate([picture, picture[:, :, ::-1].copy()]))).detach().numpy()
    assert np.abs(two[0] - found[0]).max() < 1e-3
    assert np.abs(two[1] - found[0]).max() > 0.01


def test_weights_go_back_into_the_file(registry: Registry, torch: Any, tmp_path: Path) -> None:
    from detector.models.graph.onnx_file import read
    from detector.optimize.specialise.graph_network import GraphNetwork

    model = read(prepare(registry.resolve("yolox-nano").path, shape=(160, 128)))
    network = GraphNetwork(model)
    assert network.written_into(model) == model
    with torch.no_grad():
        next(iter(network.parameters())).mul_(1.5)
    made = network.written_into(model)
    assert made != model
    (tmp_path / "changed.onnx").write_bytes(made.SerializeToString())
    backend = open_backend(tmp_path / "changed.onnx")
    try:
        picture = np.full((1, 3, 128, 160), 99.0, np.float32)
        assert np.abs(backend.run(picture)[0] - network(torch.from_numpy(picture)).detach().numpy()).max() < 1e-3
    finally:
        backend.close()


def test_an_unknown_operator_is_named(registry: Registry, torch: Any) -> None:
    from detector.models.graph.onnx_file import read
    from detector.optimize.specialise.graph_network import GraphNetwork

    with pytest.raises(ModelError, match="cannot be trained here: its operator"):
        GraphNetwork(read(prepare(registry.resolve("yolov10n").path, shape=(160, 128))))
