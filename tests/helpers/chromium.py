"""A headless Chromium, driven through the Chrome DevTools Protocol.

References
----------
https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tornado.websocket import WebSocketClientConnection, websocket_connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio",
    "--enable-unsafe-swiftshader", "--disable-background-networking", "--no-first-run", "--remote-debugging-port=0",
)  # fmt: skip


def executable() -> str | None:
    """Return the path of Chromium, or None if this machine has none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """An open tab; `faults` are the errors and warnings of its console, failed requests, and uncaught exceptions."""

    def __init__(self, connection: WebSocketClientConnection, loop: asyncio.AbstractEventLoop) -> None:
        self.faults: list[str] = []
        self.requests: list[str] = []
        self._connection, self._loop, self._numbers = connection, loop, count(1)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the result of a method of the protocol."""
        number = next(self._numbers)
        message = json.dumps({"id": number, "method": method, "params": parameters})
        return self._loop.run_until_complete(asyncio.wait_for(self._call(number, message), 60))

    async def _call(self, number: int, message: str) -> dict[str, Any]:
        await self._connection.write_message(message)
        while True:
            received = await self._connection.read_message()
            assert received is not None, "Chromium ended"
            answer = json.loads(received)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        method, parameters = event["method"], event.get("params", {})
        if method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.faults.append(" ".join(str(each.get("value", each.get("description"))) for each in parameters["args"]))
        elif method == "Runtime.exceptionThrown":
            self.faults.append(json.dumps(parameters["exceptionDetails"].get("exception", parameters)))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.faults.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])

    def size(self, width: int, height: int, *, scale: float = 1, touch: bool = False) -> None:
        """Set the size of the window in CSS pixels; `scale` device pixels each."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=touch
        )

    def open(self, address: str) -> None:
        """Load an address."""
        self.call("Page.navigate", url=address)

    def value(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript; of a promise, what it resolves to."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str, *, seconds: float = 30) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.value(f"Boolean({expression})"):
            assert time.monotonic() < end, f"not after {seconds:g} s: {expression}; {self.faults}"
            time.sleep(0.02)

    def click(self, x: float, y: float) -> None:
        """Click at a place in CSS pixels."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def picture(self, path: Path) -> None:
        """Write a screenshot as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browser() -> Iterator[Page]:
    """Start Chromium with a new profile, yield an empty tab, and end it."""
    path = executable()
    assert path, "no Chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [path, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        loop = asyncio.new_event_loop()
        try:
            yield Page(loop.run_until_complete(_connect(Path(profile) / "DevToolsActivePort")), loop)
        finally:
            process.terminate()
            process.wait(timeout=20)
            loop.close()


async def _connect(port_file: Path) -> WebSocketClientConnection:
    """Return the connection to the first tab, once Chromium has written its port."""
    from tornado.httpclient import AsyncHTTPClient

    for _ in range(600):
        if port_file.exists() and "\n" in (text := port_file.read_text()):
            break
        await asyncio.sleep(0.05)
    port = int(text.splitlines()[0])
    listed = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/json/list")
    (tab,) = (each for each in json.loads(listed.body) if each["type"] == "page")
    return await websocket_connect(tab["webSocketDebuggerUrl"], max_message_size=1 << 28)
