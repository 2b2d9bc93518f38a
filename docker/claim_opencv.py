"""Make pip see the system's OpenCV as the wheel that the project asks for, so that none is installed over it.

Run by the Python of a virtual environment made with --system-site-packages. JetPack's OpenCV (with
GStreamer) comes from apt and carries no pip metadata; a wheel beside it in the environment would win.
Writes the metadata alone, and fails unless cv2 is the system's.
"""  # noqa: INP001 - a script of the image build, no module

import sys
import sysconfig
from pathlib import Path

import cv2

NAMES = ("opencv-python-headless", "opencv-python")


def claim(version: str, folder: Path) -> None:
    """Write pip's record of each name, as installed by somebody else, into site-packages."""
    for name in NAMES:
        record = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (record / "INSTALLER").write_text("system\n")
        (record / "RECORD").write_text("")


if __name__ == "__main__":
    if Path(cv2.__file__).is_relative_to(sys.prefix):
        sys.exit(f"cv2 is not the system's: {cv2.__file__}")
    # "4.8.0-dev" and the like are no versions to pip.
    claim(cv2.__version__.split("-")[0], Path(sysconfig.get_path("purelib")))
