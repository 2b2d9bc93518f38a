"""The unit as systemd's own tools and the program's own command line read it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from detector.config.document import mqtt_password, validate

UNITS = Path(__file__).resolve().parents[2] / "systemd"
SERVICE = UNITS / "detector.service"


@pytest.fixture(scope="module")
def settings() -> dict[str, list[str]]:
    """The service's settings, in order; repeated ones as systemd keeps them, in a list."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in SERVICE.read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"([A-Za-z]+)=(.*)", line):
            found[match[1]].append(match[2])
    return found


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit in a folder of its own, its program replaced by one that is here."""
    text = SERVICE.read_text(encoding="utf-8").replace("/opt/detector/.venv/bin/detector", sys.executable)
    path = tmp_path / "detector.service"
    path.write_text(text)
    dropin = tmp_path / "detector.service.d" / "csi.conf"
    dropin.parent.mkdir()
    shutil.copyfile(UNITS / "csi.conf", dropin)
    return path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")
    return subprocess.run(["systemd-analyze", *arguments], check=False, capture_output=True, text=True, timeout=60)


def test_systemd_finds_no_fault(unit: Path) -> None:
    done = analyze("verify", str(unit))
    # A setting that is unknown or badly written is only a warning: the exit code stays 0.
    ours = [line for line in done.stderr.splitlines() if "detector" in line]
    assert (ours, done.returncode) == ([], 0)


def test_systemd_would_find_one(unit: Path) -> None:
    unit.write_text(unit.read_text() + "\n[Service]\nWatchdogSecs=30\n")
    assert "WatchdogSecs" in analyze("verify", str(unit)).stderr


def test_exposure_is_low(unit: Path) -> None:
    done = analyze("security", "--offline=yes", "--threshold=18", "--no-pager", str(unit))
    assert done.returncode == 0, done.stdout


def test_csi_cameras_cost_little_of_it(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("PrivateTmp=yes", "PrivateTmp=no"))
    done = analyze("security", "--offline=yes", "--threshold=25", "--no-pager", str(unit))
    assert done.returncode == 0, done.stdout


def test_the_program_takes_the_units_command_line(settings: dict[str, list[str]], tmp_path: Path) -> None:
    program, *arguments = settings["ExecStart"][0].split()
    assert Path(program).name == "detector"
    arguments = [a.replace("/etc/detector", str(tmp_path / "absent")) for a in arguments]
    command = [sys.executable, "-m", "detector", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 2
    assert "absent/detector.yaml" in done.stderr


def test_it_is_watched_and_never_given_up(settings: dict[str, list[str]]) -> None:
    assert settings["Type"] == ["notify"]
    assert settings["WatchdogSec"] == ["30"]
    assert settings["Restart"] == ["always"]
    assert settings["StartLimitIntervalSec"] == ["0"]
    assert settings["KillSignal"] == ["SIGTERM"]


def test_the_stand_in_password_reads_as_none(settings: dict[str, list[str]], tmp_path: Path) -> None:
    """What SetCredential puts in place of a missing file is an empty password, not a wrong one."""
    name, text = settings["SetCredential"][0].split(":")
    assert settings["LoadCredential"] == [f"{name}:/etc/credstore/detector.{name}"]
    (tmp_path / name).write_text(text.encode().decode("unicode_escape"))
    mqtt = {"username": "ha", "password_file": "${CREDENTIALS_DIRECTORY}/" + name}
    config = validate(
        {"cameras": {"porch": {"source": "usb://0"}}, "mqtt": mqtt}, {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    )
    secret = mqtt_password(config)
    assert secret is not None
    assert secret.get_secret_value() == ""


def test_secrets_lie_where_the_service_cannot_write(settings: dict[str, list[str]]) -> None:
    """systemd reads them as root: whoever could swap one for a link would read any file."""
    writable = [Path(path) for path in settings["ReadWritePaths"]]
    secrets = [settings["EnvironmentFile"][0].lstrip("-"), settings["LoadCredential"][0].split(":")[1]]
    assert not [path for path in secrets if any(folder in Path(path).parents for folder in writable)]


def test_the_readme_installs_what_is_here() -> None:
    text = (UNITS / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"systemd/([a-z.]+\.(?:conf|service))", text))
    assert named == {path.name for path in UNITS.iterdir()} - {"README.md"}


def test_sysusers_makes_the_units_user(settings: dict[str, list[str]], tmp_path: Path) -> None:
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("systemd-sysusers is not installed (Debian: systemd)")
    (tmp_path / "etc").mkdir()
    command = ["systemd-sysusers", f"--root={tmp_path}", str(UNITS / "detector.sysusers.conf")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    line = (tmp_path / "etc" / "passwd").read_text().strip()
    assert line.split(":")[0] == settings["User"][0]
    assert line.split(":")[5] == settings["WorkingDirectory"][0]
