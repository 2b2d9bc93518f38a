from __future__ import annotations

from pathlib import Path

import pytest

from detector.capture.device import DeviceSource, device_path
from detector.core.errors import SourceError


@pytest.mark.parametrize(
    ("source", "path"),
    [("usb://0", "/dev/video0"), ("usb://12", "/dev/video12"), ("/dev/video3", "/dev/video3")],
)
def test_names_of_devices(source: str, path: str) -> None:
    assert device_path(source) == Path(path)


def test_a_camera_that_is_not_there() -> None:
    with pytest.raises(SourceError, match=r"/dev/video987: no such camera; plug it in"):
        DeviceSource(source="usb://987", timeout_s=1.0).open()


def test_a_file_is_no_camera(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.touch()
    with pytest.raises(SourceError, match="not a camera device"):
        DeviceSource(source=str(path), timeout_s=1.0).open()


def test_a_device_that_is_no_camera_is_refused() -> None:
    source = DeviceSource(source="/dev/null", timeout_s=1.0)
    with pytest.raises(SourceError, match="/dev/null: cannot be opened; is it a camera"):
        source.open()
    source.close()
    with pytest.raises(SourceError, match="not open"):
        source.read()
