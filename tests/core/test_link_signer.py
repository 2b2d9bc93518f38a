"""Signed addresses: for one path, for a time, whatever the clock does."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from detector.core.errors import StorageError
from detector.core.link_signer import KEY_FILE, LinkSigner, load_key
from support.visits import StillClock

KEY = bytes(range(32))
PATH = "/api/events/1790000000.250000-abc123/snapshot.jpg"
HOUR = 3600.0


def signer(clock: StillClock, key: bytes = KEY) -> LinkSigner:
    return LinkSigner(key, lifetime_s=HOUR, clock=clock)


def problem(checker: LinkSigner, address: str, **changes: str) -> str | None:
    parts = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | changes
    path = query.pop("path", parts.path)
    return checker.problem(path, expires=query["expires"], signature=query["signature"])


def test_it_holds_until_it_expires() -> None:
    clock = StillClock(mono=50.0)
    ours = signer(clock)
    address = ours.sign(PATH)
    assert address.startswith(f"{PATH}?expires={int(clock.now_wall + HOUR)}&signature=")
    assert problem(ours, address) is None
    clock.now_mono += HOUR - 1
    assert problem(ours, address) is None
    clock.now_mono += 2
    assert problem(ours, address) == "this address has expired"


def test_every_altered_character_is_found() -> None:
    ours = signer(StillClock())
    address = ours.sign(PATH)
    expires, signature = (parse_qs(urlsplit(address).query)[name][0] for name in ("expires", "signature"))
    for name, right in (("expires", expires), ("signature", signature), ("path", PATH)):
        for place in range(len(right)):
            wrong = right[:place] + ("0" if right[place] != "0" else "1") + right[place + 1 :]
            assert problem(ours, address, **{name: wrong}) == "this address was altered, or signed with another key"
    for bad in ("", signature[:-1], signature + "0", signature.upper(), "é", "\ud800"):
        assert problem(ours, address, signature=bad) is not None
    for bad in ("", "-1", f"{expires} ", f"0{expires}", "٣", "1e9"):
        assert problem(ours, address, expires=bad) is not None
    assert problem(signer(StillClock(), key=b"x" * 32), address) is not None


@pytest.mark.parametrize("jump", [-40 * 365 * 86_400.0, -86_400.0, -60.0, 60.0, 86_400.0, 40 * 365 * 86_400.0])
def test_a_jump_of_the_clock_changes_nothing_for_what_this_process_signed(jump: float) -> None:
    clock = StillClock()
    ours = signer(clock)
    address = ours.sign(PATH)
    clock.now_wall += jump
    assert problem(ours, address) is None
    clock.now_mono += HOUR + 1
    assert problem(ours, address) == "this address has expired"


def test_after_a_restart_the_wall_clock_decides_and_years_ahead_is_refused() -> None:
    clock = StillClock()
    address = signer(clock).sign(PATH)
    again = signer(clock)
    assert problem(again, address) is None
    clock.now_wall += HOUR + 1
    assert problem(again, address) == "this address has expired"
    clock.now_wall -= 2 * 365 * 86_400
    assert problem(again, address) == "this address has expired", "it would hold for two years"
    clock.now_wall += 2 * 365 * 86_400 - HOUR - 61
    assert problem(again, address) is None, "a clock is corrected by some seconds"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detector.core.link_signer._REMEMBERED", 3)
    clock = StillClock()
    ours = signer(clock)
    addresses = [ours.sign(f"/api/events/{n}/snapshot.jpg") for n in range(5)]
    assert [problem(ours, address) for address in addresses] == [None] * 5, "the wall clock decides for the oldest"
    clock.now_wall += 86_400
    assert [problem(ours, address) is None for address in addresses] == [False, False, True, True, True]


def test_the_key_is_made_once_and_its_owners(tmp_path: Path) -> None:
    key = load_key(tmp_path)
    assert len(key) == 32
    assert load_key(tmp_path) == key
    file = tmp_path / KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    assert load_key(tmp_path) == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600, "a restored backup is no reason to let others read it"
    file.write_bytes(b"short")
    assert len(load_key(tmp_path)) == 32
    assert [entry.name for entry in tmp_path.iterdir()] == [KEY_FILE]


def test_a_key_that_cannot_be_kept_says_where(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).mkdir()
    with pytest.raises(StorageError, match=KEY_FILE):
        load_key(tmp_path)


@pytest.mark.parametrize(("key", "lifetime_s"), [(b"short", 60.0), (KEY, 0.0), (KEY, -1.0)])
def test_a_weak_signer_is_refused(key: bytes, lifetime_s: float) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        LinkSigner(key, lifetime_s=lifetime_s)
