"""A visit's clip on the operators' page, played by a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.api import StartApi
from support.browser import Look, needs_browser
from support.clips import clip
from support.control import MemoryControl


@needs_browser
@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9"])
def test_a_visit_plays_its_clip(window: StartApi, look: Look, tmp_path: Path, codec: str) -> None:
    control = MemoryControl()
    visit = control.history[0]
    control.clips[visit["id"]] = clip(tmp_path / "clip.mp4", frames=50, codec=codec)
    visit["has_clip"] = True
    page = look(window(control=control).server.url)
    page.until("document.querySelectorAll('.visit').length === 5")
    assert page.run("[...document.querySelectorAll('.play')].filter(b => b.offsetParent).length") == 1
    page.click(".play")
    page.until("document.querySelector('#viewer video').videoWidth === 320")
    assert page.run("document.querySelector('#viewer video').duration") == pytest.approx(2.0, abs=0.1)
    page.until("document.querySelector('#viewer video').currentTime > 0.1")
    page.click("#viewer .close")
    page.until("!document.querySelector('#viewer video').hasAttribute('src')")
    page.click(".thumb")
    page.until("document.querySelector('#viewer img').naturalWidth === 640")
    assert page.run("document.querySelector('#viewer video').hidden")
    assert page.complaints() == []


@needs_browser
def test_a_clip_that_the_browser_cannot_play_can_be_downloaded(window: StartApi, look: Look, tmp_path: Path) -> None:
    control = MemoryControl()
    visit = control.history[0]
    control.clips[visit["id"]] = clip(tmp_path / "clip.mp4", frames=10, codec="mjpeg", pixel_format="yuvj420p")
    visit["has_clip"] = True
    page = look(window(control=control).server.url)
    page.until("document.querySelectorAll('.visit').length === 5")
    page.click(".play")
    page.until("document.querySelector('#viewer .error').textContent.includes('Download it')")
    assert page.run("document.querySelector('#viewer .download a').href").endswith("/clip.mp4")
