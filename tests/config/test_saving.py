from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from detector.config import document
from detector.config.saving import save
from detector.core.errors import ConfigError

PROGRAM = """
import logging, sys
from pathlib import Path
from detector.config import document
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
path = Path(sys.argv[1])
changed = dict(document.read(path))
changed["device"] = {"name": "Back yard"}
document.write(path, changed, copies=Path(sys.argv[2]))
"""
CONFIG = "# mine\ncameras: {a: {source: x}}\ndevice: {name: Front yard, id: front}\n"


def in_namespace(folder: Path, mount: str) -> subprocess.CompletedProcess[str]:
    """Write the config at folder/c.yaml where `mount` was done before, in a mount namespace of its own."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare (util-linux)")
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets no user make a mount namespace (unshare -rm)")
    program = folder / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    script = f'set -e; cd {folder}; {mount}; "{sys.executable}" {program} {folder}/m/c.yaml {folder}/copies'
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], check=False, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


def test_c4_a_link_stays_a_link_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "c.yaml", tmp_path / "c.yaml"
    target.write_text(CONFIG, encoding="utf-8")
    target.chmod(0o640)
    link.symlink_to("real/c.yaml")
    document.write(link, {**document.read(link), "data_dir": "d"})
    assert link.is_symlink()
    assert document.read(target)["data_dir"] == "d"
    assert target.read_text(encoding="utf-8").startswith("# mine\n")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert [p.name for p in (tmp_path / "real").iterdir()] == ["c.yaml"]


def test_c4_a_file_mounted_by_itself_is_written_in_place(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "host.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "m" / "c.yaml").write_text("", encoding="utf-8")
    done = in_namespace(tmp_path, "mount --bind host.yaml m/c.yaml")
    assert done.returncode == 0, done.stderr
    assert "written in place" in done.stdout
    assert (tmp_path / "host.yaml").read_text(encoding="utf-8") == CONFIG.replace("Front yard, id: front", "Back yard")
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["c.yaml"]


def test_c4_a_file_in_a_folder_that_cannot_be_written_is_written_in_place(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "host.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "m" / "c.yaml").write_text("", encoding="utf-8")
    mount = "mount --bind m m; mount --bind host.yaml m/c.yaml; mount -o remount,ro,bind m"
    done = in_namespace(tmp_path, mount)
    assert done.returncode == 0, done.stderr
    assert "written in place" in done.stdout
    assert "Back yard" in (tmp_path / "host.yaml").read_text(encoding="utf-8")
    assert list((tmp_path / "copies").iterdir()) == []


def test_c4_a_file_that_cannot_be_written_at_all_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "c.yaml").write_text(CONFIG, encoding="utf-8")
    done = in_namespace(tmp_path, "mount --bind m m; mount -o remount,ro,bind m")
    assert done.returncode != 0
    assert "cannot write" in done.stderr
    assert "c.yaml" in done.stderr
    assert (tmp_path / "m" / "c.yaml").read_text(encoding="utf-8") == CONFIG


def test_c4_a_folder_without_write_permission(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere: the read-only mount above shows the same")
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    tmp_path.chmod(0o500)
    try:
        save(path, "cameras: {}\n", copies=tmp_path_factory.mktemp("copies"))
    finally:
        tmp_path.chmod(0o700)
    assert path.read_text(encoding="utf-8") == "cameras: {}\n"


def test_a_link_that_leads_nowhere_gets_its_target(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").symlink_to("new.yaml")
    save(tmp_path / "c.yaml", "a: 1\n")
    assert (tmp_path / "new.yaml").read_text(encoding="utf-8") == "a: 1\n"
    assert stat.S_IMODE((tmp_path / "new.yaml").stat().st_mode) == 0o600


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot write .*c\.yaml"):
        save(tmp_path / "no" / "c.yaml", "a: 1\n")
