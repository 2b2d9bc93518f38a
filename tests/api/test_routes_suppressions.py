from __future__ import annotations

import pytest

from support.api import RunningApi, StartApi


def test_a_visit_is_marked_listed_and_undone(window: StartApi) -> None:
    opened = window()
    visit = opened.control.history[2]["id"]
    made = opened.client.post(f"/api/events/{visit}/suppress", json={})
    assert made.status_code == 200
    assert made.json()["id"] == visit
    assert opened.client.get("/api/suppressions").json() == [made.json()]
    picture = opened.client.get(f"/api/suppressions/{visit}/snapshot.jpg")
    assert (picture.headers["content-type"], picture.content[:2]) == ("image/jpeg", b"\xff\xd8")
    assert opened.client.delete(f"/api/suppressions/{visit}").status_code == 204
    assert opened.client.get("/api/suppressions").json() == []
    assert opened.client.delete(f"/api/suppressions/{visit}").status_code == 404
    assert opened.client.get(f"/api/suppressions/{visit}/snapshot.jpg").status_code == 404


@pytest.mark.parametrize("event_id", ["1.5-none", "..", "a%2Fb", "x" * 200, "%00"])
def test_an_unknown_visit_is_one_line(free: RunningApi, event_id: str) -> None:
    for answer in (
        free.client.post(f"/api/events/{event_id}/suppress", json={}),
        free.client.delete(f"/api/suppressions/{event_id}"),
    ):
        assert answer.status_code in (404, 405)
        assert answer.json()["error"]


def test_the_token_is_needed(locked: RunningApi) -> None:
    visit = locked.control.history[0]["id"]
    assert locked.client.post(f"/api/events/{visit}/suppress", json={}).status_code == 401
    assert locked.client.get("/api/suppressions").status_code == 401
    assert locked.client.delete(f"/api/suppressions/{visit}").status_code == 401


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}])
def test_another_sites_page_cannot_suppress_or_undo(window: StartApi, headers: dict[str, str]) -> None:
    opened = window()
    visit = opened.control.history[0]["id"]
    assert opened.client.post(f"/api/events/{visit}/suppress", json={}, headers=headers).status_code == 403
    assert opened.control.suppressed == []
    opened.control.suppress(visit)
    assert opened.client.delete(f"/api/suppressions/{visit}", headers=headers).status_code == 403
    assert len(opened.control.suppressed) == 1
