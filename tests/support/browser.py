"""A real headless Chromium, driven over the DevTools protocol through a pipe: no driver program, no extra package."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--remote-debugging-pipe", "--disable-site-isolation-trials", "--disable-features=IsolateOrigins,site-per-process",
)  # fmt: skip
needs_browser = pytest.mark.skipif(PROGRAM is None, reason="needs chromium")
SHOWN = "[...document.querySelectorAll('.card img')].filter(i => i.naturalWidth > 0 && !i.hidden).length"
"""How many cameras' pictures a page shows."""


class DevToolsError(AssertionError):
    """The browser could not do what it was asked to."""


class Browser:
    """One Chromium process; close it, or use it as a context."""

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        # The protocol wants the browser to read from 3 and write to 4.
        script = f'exec "$@" 3<&{to_read} 4>&{to_write}'
        command = ["bash", "-c", script, "bash", PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(command, pass_fds=(to_read, to_write), stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self._buffer = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; what happens meanwhile is added to `events`."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") != self._number:
                self.events.append(answer)
                continue
            if "error" in answer:
                raise DevToolsError(f"{method}: {answer['error']}")
            result: dict[str, Any] = answer["result"]
            return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._read, 1 << 20)
            if not data:
                raise AssertionError("the browser ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def page(self, url: str, *, width: int = 1200, height: int = 900, dark: bool = False) -> Page:
        """A fresh private window on `url`."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, context)
        page.call("Runtime.enable")
        page.call("Log.enable")
        page.call("Page.enable")
        page.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.call("Page.navigate", url=url)
        return page

    def close(self) -> None:
        os.close(self._write)  # the browser leaves when its pipe does
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)


class Page:
    """A window; `complaints` are the console's errors and the scripts' uncaught ones."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self._context = context

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        return self._evaluate(script)

    def _evaluate(self, script: str, **where: Any) -> Any:
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, **where)
        if "exceptionDetails" in result:
            raise AssertionError(f"{script}: {result['exceptionDetails']['exception'].get('description')}")
        return result["result"].get("value")

    def text(self, selector: str = "body") -> str:
        """The text as it is seen, white space folded."""
        seen = self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
        return " ".join(str(seen).split())

    def until(self, script: str, *, timeout: float = 20.0) -> None:
        """Wait until `script` is true, errors being false; fails after `timeout` seconds with what the page shows."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(DevToolsError):  # the page is just being left for another one
                if self.run(f"(() => {{ try {{ return Boolean({script}); }} catch {{ return false; }} }})()"):
                    return
            time.sleep(0.05)
        raise AssertionError(f"never came true: {script}; the page shows: {self.text()[:2000]}")

    def resize(self, width: int, height: int = 900) -> None:
        """Make the window `width` by `height` px; narrow ones are phones."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def frame(self) -> PageFrame:
        """The page's first iframe."""
        return PageFrame(self._browser, self._session, self._context)

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def complaints(self) -> list[str]:
        self.run("0")  # collects what is still on its way
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(event["params"]["exceptionDetails"]))
            if event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                found.append(str(event["params"]["entry"]["text"]))
        return found

    def close(self) -> None:
        self._browser.call("Target.disposeBrowserContext", browserContextId=self._context)


class PageFrame(Page):
    """A page's first iframe, of whatever site: scripts run in it, the rest is the page's."""

    def run(self, script: str) -> Any:
        tree = self.call("Page.getFrameTree")["frameTree"]
        if not tree.get("childFrames"):
            raise DevToolsError("the page has no frame yet")
        frame = tree["childFrames"][0]["frame"]["id"]
        world = self.call("Page.createIsolatedWorld", frameId=frame)["executionContextId"]
        return self._evaluate(script, contextId=world)


Look = Callable[..., Page]
"""A fixture's function: opens a page as `Browser.page` does."""
