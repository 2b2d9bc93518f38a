from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from detector.core.errors import StorageError
from detector.service import data_dir


def test_it_is_made_private_and_held(tmp_path: Path) -> None:
    path = tmp_path / "a" / "data"
    with data_dir.locked_data_dir(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        with pytest.raises(StorageError, match=r"in use by process \d+"), data_dir.locked_data_dir(path):
            pass
    with data_dir.locked_data_dir(path):
        pass


def test_a_holder_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    script = f"from pathlib import Path\nfrom detector.service import data_dir\nimport os\nwith data_dir.locked_data_dir(Path({str(tmp_path)!r})): os._exit(9)"
    subprocess.run([sys.executable, "-c", script], check=False, timeout=30)
    with data_dir.locked_data_dir(tmp_path):
        pass


def test_a_file_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    with pytest.raises(StorageError, match="make it writable"), data_dir.locked_data_dir(tmp_path / "data"):
        pass
