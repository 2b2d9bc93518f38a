"""A user's mistakes: one clear line on stderr, the right exit code, never a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from support import sample
from support.mosquitto import free_port
from support.program import once


def config(folder: Path, **sections: Any) -> Path:
    path = folder / "detector.yaml"
    base = {
        "cameras": {"a": {"source": str(folder / "none.mp4")}},
        "mqtt": {"embedded": {"port": 0}},
        "api": {"port": 0},
        "data_dir": str(folder / "data"),
    }
    path.write_text(yaml.safe_dump({**base, **sections}), encoding="utf-8")
    return path


def refused(*arguments: str | Path, code: int, says: str) -> str:
    result = once(*arguments)
    assert result.returncode == code, (result.returncode, result.stderr, result.stdout)
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("detector: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    path = config(tmp_path, mqtt={"brokr": "embedded"})
    refused("run", "-c", path, code=2, says="mqtt.brokr: unknown key; did you mean broker?")


def test_a_missing_config(tmp_path: Path) -> None:
    refused("run", "-c", tmp_path / "no.yaml", code=2, says="detector init")


def test_a_config_that_is_a_picture(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    refused("run", "-c", tmp_path / "c.yaml", code=2, says="not UTF-8")


def test_an_unset_variable_is_named(tmp_path: Path) -> None:
    path = config(tmp_path, mqtt={"username": "u", "password": "${NOT_SET_ANYWHERE}"})
    refused("check", "-c", path, code=2, says="NOT_SET_ANYWHERE is not set")


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_text("this is no model")
    path = config(tmp_path, model={"name": str(tmp_path / "bad.onnx")})
    refused("run", "-c", path, "--duration", "5", code=1, says="bad.onnx")


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    path = config(tmp_path, model={"name": str(tmp_path / "none.onnx")})
    refused("run", "-c", path, "--duration", "5", code=1, says="no model file")


def test_an_unknown_model_names_the_known_ones() -> None:
    refused("models", "get", "yolov10-n", code=2, says="did you mean yolov10n?")


def test_a_text_file_as_video(tmp_path: Path, model: Path) -> None:
    (tmp_path / "notes.mp4").write_text("just words\n" * 50)
    refused("detect", tmp_path / "notes.mp4", "--model", model, code=1, says="notes.mp4")


def test_one_bad_picture_does_not_stop_the_others(tmp_path: Path, model: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no picture")
    good = sample.write(sample.pairs()[:1], tmp_path / "good") / "000.png"
    result = once("detect", tmp_path / "bad.jpg", good, "--model", model)
    assert result.returncode == 1
    assert "000.png frame 0: 2 persons" in result.stdout
    assert result.stderr.count("\n") == 1


def test_a_port_in_use(tmp_path: Path, model: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        names = {"model": {"name": str(model)}}
        path = config(tmp_path, mqtt={"embedded": {"port": port}}, **names)
        refused("run", "-c", path, "--duration", "5", code=1, says="mqtt.embedded.port")
        path = config(tmp_path, api={"port": port}, **names)
        refused("run", "-c", path, "--duration", "5", code=1, says="api.port")


def test_a_data_dir_that_cannot_be(tmp_path: Path, model: Path) -> None:
    (tmp_path / "data").write_text("a file")
    path = config(tmp_path, model={"name": str(model)})
    refused("run", "-c", path, "--duration", "5", code=1, says="data_dir")


def test_a_replay_of_an_unknown_camera(tmp_path: Path) -> None:
    path = config(tmp_path)
    refused("replay", "-c", path, "--camera", "b", tmp_path / "x.mp4", code=2, says="its cameras: a")


def test_init_does_not_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    assert once("init", path).returncode == 0
    before = path.read_bytes()
    refused("init", path, code=2, says="--force")
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o077 == 0, "passwords will be in it"


def test_check_tells_what_works_and_what_does_not(tmp_path: Path, model: Path, clip: Path) -> None:
    port = free_port()
    path = config(
        tmp_path,
        model={"name": str(model)},
        cameras={
            "good": {"source": str(clip)},
            "gone": {"source": f"rtsp://me:topsecret@127.0.0.1:{port}/x", "timeout_s": 1},
            "missing": {"source": str(tmp_path / "none.mp4")},
        },
        mqtt={"broker": f"mqtt://127.0.0.1:{port}"},
    )
    result = once("check", "-c", path, "--json")
    import json

    findings = {f["what"]: f for f in json.loads(result.stdout)}
    assert result.returncode == 1
    assert {what for what, f in findings.items() if f["ok"]} == {"model", "camera good", "data_dir", "api"}
    assert "640x272" in findings["camera good"]["detail"]
    assert "topsecret" not in result.stdout + result.stderr
    assert "does not work: camera gone, camera missing, broker" in result.stderr
    assert (
        once(
            "check", "-c", config(tmp_path, model={"name": str(model)}, cameras={"good": {"source": str(clip)}})
        ).returncode
        == 0
    )
