"""Notifications over real sockets and real files: a webhook's server, a mail server, outages, kills, old alerts."""

from __future__ import annotations

import email
import email.policy
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from detector.alerts.notify.notifications import Notifications, build_notifications, try_target
from detector.alerts.notify.webhook import ALERT_ID, SIGNATURE, TIMESTAMP
from detector.alerts.outbox import Outbox
from detector.alerts.payloads import alert_payload
from detector.config import document as config_file
from detector.config.notify_settings import NotifyTarget
from detector.core.clock import SYSTEM_CLOCK
from detector.core.errors import ConfigError
from support.hook_server import HookServer
from support.messages import make_alert, running
from support.mosquitto import free_port, wait_until
from support.visits import StillClock
from support.webhook_receiver import is_authentic

SECRET = "a-secret-of-the-webhook"
JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"


# The server says so at each connection, in its own thread, where an error would end the connection without an answer.
no_tls = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


class MailBox:
    """What a mail server took."""

    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[MailBox, int]]:
    box = MailBox()

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, login: Any) -> AuthResult:
        return AuthResult(success=(login.login, login.password) == (b"me", b"hunter2secret"))

    controller = Controller(
        box, hostname="127.0.0.1", port=free_port(), authenticator=check, auth_required=True, auth_require_tls=False
    )
    controller.start()
    yield box, controller.port
    controller.stop()


@pytest.fixture
def hook() -> Iterator[HookServer]:
    with HookServer().running() as server:
        yield server


def webhook(server: HookServer, **more: Any) -> dict[str, Any]:
    return {
        "name": "program",
        "webhook": f"http://127.0.0.1:{server.port}/alerts?key=tok3n-in-query",
        "secret": SECRET,
        **more,
    }


def mail(port: int, **more: Any) -> dict[str, Any]:
    url = f"mailto://me:hunter2secret@127.0.0.1:{port}/?from=yard@example.org&to=me@example.org&mode=insecure"
    return {"name": "mail", "url": url, **more}


@contextmanager
def notifications(
    folder: Path, *targets: dict[str, Any], clock: Any = None, run: bool = True, synced: bool = True
) -> Iterator[Notifications]:
    config = config_file.validate({"cameras": {"porch": {"source": "rtsp://10.0.0.4/x"}}, "notify": list(targets)})
    with ExitStack() as closing:
        made = build_notifications(
            config.notify,
            data_dir=folder,
            load_picture=lambda _event: JPEG,
            snapshot_url=lambda path: f"https://yard.example{path}?expires=1",
            clip_exists=lambda _path: False,
            clock=clock or SYSTEM_CLOCK,
            clock_synced=lambda: synced,
            closing=closing,
        )
        for sender in made.senders:
            if run:
                closing.enter_context(running(sender.outbox.run))
                closing.enter_context(running(sender.run))
        yield made


def document(number: int = 1, **more: Any) -> dict[str, Any]:
    return {**alert_payload(make_alert(number), device="yard", seq=number, with_clip=True), **more}


def test_a_webhook_is_signed_and_a_receiver_can_check_it(tmp_path: Path, hook: HookServer) -> None:
    with notifications(tmp_path, webhook(hook)) as made:
        made.alert(document(), None)
        wait_until(lambda: len(hook.taken) == 1)
    headers, body = hook.taken[0]
    sent = json.loads(body)
    assert (sent["id"], sent["event_id"], sent["camera"], sent["replayed"]) == ("alert-1", "event-1", "porch", False)
    assert sent["snapshot_url"].startswith("https://yard.example/api/events/event-1/snapshot.jpg")
    assert sent["clip_url"].startswith("https://yard.example/api/events/event-1/clip.mp4")
    assert headers[ALERT_ID] == "alert-1"
    stamp, signed = headers[TIMESTAMP], headers[SIGNATURE]
    now = float(stamp)

    def check(**changes: Any) -> bool:
        given: dict[str, Any] = {"timestamp": stamp, "signature": signed, "body": body, "now": now, **changes}
        return is_authentic(SECRET.encode(), **given)

    assert check()
    assert check(now=now + 299)
    assert not check(now=now + 301), "an old request is not taken again"
    assert not check(now=now - 301)
    assert not check(body=body + b" ")
    assert not check(timestamp=str(int(stamp) + 1))
    assert not check(signature="sha256=" + "0" * 64)
    assert not check(signature="")
    assert not check(timestamp="now")
    assert not is_authentic(b"another-secret-at-all", timestamp=stamp, signature=signed, body=body, now=now)


@no_tls
def test_mail_arrives_with_the_picture_and_the_text(tmp_path: Path, mailbox: tuple[MailBox, int]) -> None:
    box, port = mailbox
    target = mail(port, title="{device}: {camera}!", text="{zones} {score} {snapshot_url}")
    with notifications(tmp_path, target) as made:
        made.alert(document(), JPEG)
        wait_until(lambda: len(box.mails) == 1)
        wait_until(lambda: made.senders[0].stats().sent == 1)
    got = box.mails[0]
    assert got["Subject"] == "yard: porch!"
    parts = list(got.walk())
    text = next(part.get_content() for part in parts if part.get_content_type() == "text/plain")
    assert "garden 90 % https://yard.example/api/events/event-1/snapshot.jpg" in text
    pictures = [part.get_content() for part in parts if part.get_content_type() == "image/jpeg"]
    assert pictures == [JPEG]


@no_tls
def test_a_mail_servers_refusal_is_told_without_the_password(tmp_path: Path, mailbox: tuple[MailBox, int]) -> None:
    box, port = mailbox
    target = mail(port)
    with notifications(tmp_path, {**target, "url": target["url"].replace("hunter2secret", "wr0ngpassw0rd")}) as made:
        made.alert(document(), JPEG)
        wait_until(lambda: made.senders[0].stats().failed > 0)
        error = str(made.senders[0].stats().error)
    assert "mail" in error.lower(), "the library's own words, which it says in another thread"
    assert error != "it was refused"
    assert "wr0ngpassw0rd" not in error
    assert box.mails == []


def test_one_targets_failure_holds_up_no_other(tmp_path: Path, hook: HookServer) -> None:
    stuck, dead = (
        HookServer(hang=threading.Event()),
        {"name": "dead", "webhook": "http://127.0.0.1:9/x", "secret": SECRET},
    )
    with stuck.running(), notifications(tmp_path, dead, webhook(stuck, name="stuck"), webhook(hook)) as made:
        for number in range(1, 4):
            made.alert(document(number), None)
        wait_until(lambda: made.document()["program"]["sent"] == 3)
        stats = made.document()
        assert stats["dead"]["sent"] == stats["stuck"]["sent"] == 0
        wait_until(lambda: made.document()["dead"]["failed"] > 0)
        (problem,) = [p for p in made.problems() if p.startswith("notify dead")]
        assert "cannot be reached" in problem
        assert "3 alerts wait" in problem
        assert stuck.hang is not None
        stuck.hang.set()
        wait_until(lambda: len(stuck.taken) == 3)
    assert [json.loads(body)["id"] for _, body in hook.taken] == ["alert-1", "alert-2", "alert-3"], "in order"


def test_what_fails_is_tried_again_in_order_and_over_a_restart(tmp_path: Path, hook: HookServer) -> None:
    hook.code = 503
    with notifications(tmp_path, webhook(hook)) as made:
        made.alert(document(1), None)
        made.alert(document(2), None)
        wait_until(lambda: len(hook.taken) >= 2)
        assert made.senders[0].stats().waiting == 2
    assert {json.loads(body)["id"] for _, body in hook.taken} == {"alert-1"}
    hook.code = 204
    hook.taken.clear()
    with notifications(tmp_path, webhook(hook)):
        wait_until(lambda: len(hook.taken) == 2)
    sent = [json.loads(body) for _, body in hook.taken]
    assert [one["id"] for one in sent] == ["alert-1", "alert-2"]
    assert [one["replayed"] for one in sent] == [True, True]


def test_a_redirect_is_not_followed(tmp_path: Path, hook: HookServer) -> None:
    hook.code = 307
    with notifications(tmp_path, webhook(hook)) as made:
        made.alert(document(), None)
        wait_until(lambda: made.senders[0].stats().failed > 0)
        assert (
            made.senders[0].stats().error
            == f"http://127.0.0.1:{hook.port} answers 307: check the address and the secret"
        )


def test_only_the_cameras_and_scores_that_are_asked_for(tmp_path: Path, hook: HookServer) -> None:
    with notifications(tmp_path, webhook(hook, cameras=["porch"], min_score=0.8)) as made:
        made.alert(document(1, camera="drive"), None)
        made.alert(document(2, score=0.79), None)
        made.alert(document(3), None)
        wait_until(lambda: len(hook.taken) == 1)
        wait_until(lambda: made.senders[0].stats().waiting == 0)
    assert json.loads(hook.taken[0][1])["id"] == "alert-3"


def test_what_is_too_old_is_dropped_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = StillClock(mono=100.0)
    dead = {"name": "dead", "webhook": "http://127.0.0.1:9/x", "secret": SECRET, "keep_h": 2}
    with notifications(tmp_path, dead, clock=clock, run=False) as made:
        (sender,) = made.senders
        made.alert(document(1), None)
        sender.outbox.flush()
        assert not sender.step()
        clock.now_mono += 7100.0
        made.alert(document(2), None)
        sender.outbox.flush()
        sender.step()
        assert sender.stats().waiting == 2
        clock.now_mono += 200.0
        assert sender.step()
        sender.step()
        sender.outbox.flush()
        assert (sender.stats().dropped, sender.stats().waiting) == (1, 1)
        assert any("1 alerts could not be delivered in time" in p for p in made.problems())
        assert any("alert-1 is dropped: not delivered within 2 h" in r.getMessage() for r in caplog.records)
        clock.now_mono += 90_000.0
        assert not any("in time" in p for p in made.problems()), "a day later it is the log's"


def test_a_clock_that_jumps_drops_nothing(tmp_path: Path, hook: HookServer) -> None:
    clock = StillClock(mono=100.0, wall=20.0)
    hook.code = 500
    with notifications(tmp_path, webhook(hook), clock=clock, run=False) as made:
        made.alert(document(1), None)
        made.senders[0].outbox.flush()
        made.senders[0].step()
        clock.now_wall = 1_790_000_000.0  # 1970 at the boot, then NTP
        made.senders[0].step()
        assert made.senders[0].stats().dropped == 0
    hook.code = 200
    with notifications(tmp_path, webhook(hook), clock=clock, run=False) as made:
        assert made.senders[0].step()
        assert made.senders[0].stats().sent == 1


def test_a_kill_between_the_alert_and_its_notification_loses_none(tmp_path: Path, hook: HookServer) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    with notifications(tmp_path, webhook(hook), run=False) as made:
        made.alert(document(1), None)
        made.senders[0].outbox.flush()
    for number in (1, 2, 3):
        outbox.put(kind="alert", key=f"alert-{number}", topic="a", document=document(number), created_wall=1.0)
    outbox.flush()
    with notifications(tmp_path, webhook(hook), run=False) as made:
        made.recover(outbox)
        made.recover(outbox)
        assert made.senders[0].stats().waiting == 3
        assert made.senders[0].last_alert() == 3
    fresh = webhook(hook, name="fresh")
    with notifications(tmp_path, fresh, run=False) as made:
        made.recover(outbox)
        assert made.senders[0].stats().waiting == 0, "a new target is not told of what was before it"
    outbox.close()


def test_no_secret_of_an_address_shows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    targets = [
        {"name": "a", "webhook": "http://127.0.0.1:9/hooks/T0K3NinPath99?key=tok3n-in-query", "secret": SECRET},
        {"name": "b", "url": "json://me:hunter2secret@127.0.0.1:9/p4thT0k3nXYZ"},
        {"name": "c", "url": "tgram://123456789:abcdefg_hijklmnopq/987654321098"},
    ]
    document_ = {"cameras": {"porch": {"source": "rtsp://10.0.0.4/x"}}, "notify": targets}
    shown = json.dumps(config_file.masked(document_))
    with notifications(tmp_path, *targets[:2]) as made:
        made.alert(document(1), JPEG)
        wait_until(lambda: all(s.stats().failed for s in made.senders))
        shown += json.dumps(made.document()) + " ".join(made.problems())
    shown += " ".join(record.getMessage() for record in caplog.records if record.name.startswith("detector"))
    for secret in ("T0K3NinPath99", "tok3n-in-query", SECRET, "hunter2secret", "p4thT0k3nXYZ", "abcdefg_hijklmnopq"):
        assert secret not in shown
    assert "127.0.0.1" in shown


def test_an_address_that_apprise_does_not_know_is_one_line(tmp_path: Path) -> None:
    settings = NotifyTarget.model_validate({"name": "odd", "url": "nosuchservice://T0K3N-of-it-99"})
    with pytest.raises(ConfigError, match=r"^notify: odd: .* does not know this address") as raised:
        try_target(settings, device="yard", now="2026-01-01T00:00:00Z")
    assert "T0K3N" not in str(raised.value)


def test_a_test_message_goes_out_signed(hook: HookServer) -> None:
    settings = NotifyTarget.model_validate(webhook(hook))
    try_target(settings, device="yard", now="2026-01-01T00:00:00Z")
    headers, body = hook.taken[0]
    assert json.loads(body)["test"] is True
    assert is_authentic(
        SECRET.encode(),
        timestamp=headers[TIMESTAMP],
        signature=headers[SIGNATURE],
        body=body,
        now=float(headers[TIMESTAMP]),
    )
