"""The resumable download against a real HTTP server on loopback."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from detector.core.progress import quiet
from detector.models.download import download
from detector.models.download.download import discard, note_path
from detector.models.download.errors import UnavailableError
from support.fileserver import FileServer, Served
from support.mosquitto import program


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "thing.part"


def fetch(url: str, part: Path, size: int | None = None) -> bool:
    return download.download(url, part, size=size, progress=quiet)


def test_whole_file_with_progress(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content)
    told: list[tuple[int, int | None]] = []
    url = server.url("/f")
    assert not download.download(url, part, size=len(content), progress=lambda d, t, _w: told.append((d, t)))
    assert part.read_bytes() == content
    assert told[0] == (0, len(content))
    assert told[-1] == (len(content), len(content))
    assert [d for d, _ in told] == sorted(d for d, _ in told)
    assert server.requests[0]["User-Agent"].startswith("detector/")


def test_cut_connection_goes_on_in_the_same_call(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content, cut_after=[100_000, 50_000])
    fetch(server.url("/f"), part, len(content))
    assert part.read_bytes() == content
    assert [r.get("Range") for r in server.requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert server.requests[1]["If-Range"] == '"v1"'


def test_the_next_call_goes_on_where_the_last_gave_up(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content, cut_after=[1000] * download.TRIES)
    with pytest.raises(UnavailableError, match=r"ended after 4000 of 300001 bytes; run it again"):
        fetch(server.url("/f"), part, len(content))
    assert part.stat().st_size == 4000
    assert fetch(server.url("/f"), part, len(content))
    assert part.read_bytes() == content
    assert server.requests[-1]["Range"] == "bytes=4000-"


def test_a_changed_file_starts_again(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content, cut_after=[1000] * download.TRIES)
    with pytest.raises(UnavailableError):
        fetch(server.url("/f"), part, len(content))
    server.files["/f"] = Served(content[::-1], etag='"v2"')
    fetch(server.url("/f"), part, len(content))
    assert part.read_bytes() == content[::-1]


def test_weak_etag_is_not_sent_back(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content, etag='W/"v1"', cut_after=[1000])
    fetch(server.url("/f"), part, len(content))
    assert "If-Range" not in server.requests[1]
    assert part.read_bytes() == content


def test_another_part_than_was_asked_for_is_not_joined(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content, cut_after=[1000], range_shift=7)
    fetch(server.url("/f"), part, len(content))
    assert part.read_bytes() == content
    assert [r.get("Range") for r in server.requests] == [None, "bytes=1000-", None]


def test_server_without_ranges(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content, ranges=False, cut_after=[100_000])
    fetch(server.url("/f"), part, len(content))
    assert part.read_bytes() == content


def test_part_of_another_url_is_not_gone_on_with(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content)
    part.write_bytes(b"x" * 1000)
    note_path(part).write_text('{"url": "http://127.0.0.1:1/other"}')
    assert not fetch(server.url("/f"), part, len(content))
    assert part.read_bytes() == content


def test_complete_part_asks_nobody_where_the_size_is_known(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content)
    fetch(server.url("/f"), part)
    fetch(server.url("/f"), part, len(content))
    assert len(server.requests) == 1


def test_complete_part_of_unknown_size(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content)
    fetch(server.url("/f"), part)
    assert fetch(server.url("/f"), part)
    assert part.read_bytes() == content
    assert len(server.requests) == 2


def test_part_longer_than_the_file_starts_again(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content)
    fetch(server.url("/f"), part)
    server.files["/f"] = Served(content[:-5])
    fetch(server.url("/f"), part)
    assert part.read_bytes() == content[:-5]


def test_wrong_length_is_refused_before_the_body(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content)
    with pytest.raises(UnavailableError, match="expected 10 bytes, the server offers 300001"):
        fetch(server.url("/f"), part, 10)
    assert not part.exists()


def test_endless_answer_is_stopped(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content, shown_length=False)
    with pytest.raises(UnavailableError, match="more than the expected 10 bytes"):
        fetch(server.url("/f"), part, 10)


@pytest.mark.parametrize("status", [HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN, HTTPStatus.SERVICE_UNAVAILABLE])
def test_refusals_name_the_answer(server: FileServer, part: Path, status: HTTPStatus) -> None:
    server.files["/f"] = Served(b"", status=status)
    with pytest.raises(UnavailableError, match=f"answers {status.value} {status.phrase}"):
        fetch(server.url("/f"), part)
    assert len(server.requests) == 1


def test_unknown_host(part: Path) -> None:
    with pytest.raises(UnavailableError, match="the host name is not known here"):
        fetch("http://nobody.invalid/f", part)


def test_refused_connection(part: Path) -> None:
    with socket.socket() as probe:  # bound, never listening
        probe.bind(("127.0.0.1", 0))
        with pytest.raises(UnavailableError, match="refused"):
            fetch(f"http://127.0.0.1:{probe.getsockname()[1]}/f", part)


def test_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch, part: Path) -> None:
    monkeypatch.setattr(download, "READ_S", 0.05)
    mute = socket.create_server(("127.0.0.1", 0))  # accepts, never answers
    with mute, pytest.raises(UnavailableError, match="no answer in time"):
        fetch(f"http://127.0.0.1:{mute.getsockname()[1]}/f", part)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, its key in the same file."""
    path = tmp_path / "certificate.pem"
    command = [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "1", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", path, "-out", tmp_path / "c"], check=True, capture_output=True)
    path.write_text(path.read_text() + (tmp_path / "c").read_text())
    return path


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[FileServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    served = FileServer(tls=context)
    yield served
    served.close()


def test_over_tls(
    monkeypatch: pytest.MonkeyPatch, tls_server: FileServer, certificate: Path, part: Path, content: bytes
) -> None:
    tls_server.files["/f"] = Served(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    fetch(tls_server.url("/f"), part, len(content))
    assert part.read_bytes() == content


def test_a_certificate_that_nobody_trusts(tls_server: FileServer, part: Path, content: bytes) -> None:
    tls_server.files["/f"] = Served(content)
    with pytest.raises(UnavailableError, match="certificate verify failed"):
        fetch(tls_server.url("/f"), part, len(content))
    assert not part.exists()


def test_stalled_transfer_keeps_what_came(
    monkeypatch: pytest.MonkeyPatch, server: FileServer, part: Path, content: bytes
) -> None:
    monkeypatch.setattr(download, "READ_S", 0.2)
    monkeypatch.setattr(download, "TRIES", 1)
    with socket.create_server(("127.0.0.1", 0)) as stalling:
        stalling.settimeout(10)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        url = f"http://127.0.0.1:{stalling.getsockname()[1]}/f"
        held: list[socket.socket] = []

        def answer() -> None:
            peer, _ = stalling.accept()
            peer.recv(4096)
            peer.sendall(head + content[:5000])
            held.append(peer)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UnavailableError, match="the transfer stopped: no answer in time"):
            fetch(url, part, len(content))
        thread.join()
        held[0].close()
    assert part.read_bytes() == content[:5000]


def test_full_disk_is_the_callers_to_tell(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content)
    part.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        fetch(server.url("/f"), part, len(content))


def test_damaged_note_is_as_none(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content)
    part.write_bytes(b"x")
    note_path(part).write_text("{")
    assert not fetch(server.url("/f"), part, len(content))
    assert part.read_bytes() == content


def test_discard_forgets_both_files_and_may_be_repeated(server: FileServer, part: Path, content: bytes) -> None:
    server.files["/f"] = Served(content)
    fetch(server.url("/f"), part)
    for _ in range(2):
        discard(part)
        assert not list(part.parent.iterdir())
