"""`detector tune` on a real clip with the real model, then the real service: INT8 from its first frame on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from support.caches import private_cache
from support.mosquitto import free_port
from support.program import Program, once

pytestmark = [pytest.mark.optimize, pytest.mark.timeout(300)]


def test_the_service_starts_with_what_was_chosen_ahead(shared: Path, model: Path, tmp_path: Path) -> None:
    assert model.is_file()
    street = shared / "media" / "video" / "vtest.avi"
    config = {
        # One thread: half of the forms, and as good a proof.
        "model": {"threads": 1},
        "cameras": {"street": {"source": str(street), "loop": True, "detect_fps": 4}},
        "mqtt": {"embedded": {"port": free_port()}},
    }
    env = {**os.environ, "DETECTOR_CACHE": str(private_cache(tmp_path / "cache"))}
    (tmp_path / "ahead.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    done = once("tune", "-c", tmp_path / "ahead.yaml", "--pictures", street, "--json", timeout=280, env=env)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["without_int8"] is None
    assert told["pictures"]["street"]["visits"] >= 5
    assert [scene.split("-")[0] for scene in told["scenes"]] == ["street"]
    assert "int8" in told["taken"], told["candidates"]
    with Program(tmp_path / "service", config, env=env) as program:
        program.wait_ready()
        served = program.status()["model"]
        assert (served["precision"], served["choice"]["taken"]) == ("int8", told["taken"]), "from the first frame on"
        program.wait_for(lambda: program.status()["model"]["choice"]["state"] == "settled", "settled", timeout=12)
        choice = program.status()["model"]["choice"]
        assert (choice["scenes"], choice["candidates"]) == (told["scenes"], told["candidates"])
        assert "measuring the forms" not in program.log()
