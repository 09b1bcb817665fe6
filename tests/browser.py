"""A headless Chromium that a test talks to through a pipe (the DevTools protocol), to press keys and read a page."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
         "--host-resolver-rules=MAP * ~NOTFOUND")  # fmt: skip
SECONDS = 60
_LAUNCH = "import os, sys; [os.dup2(int(sys.argv[n]), n + 2) for n in (1, 2)]; os.execv(sys.argv[3], sys.argv[3:])"
KEYS = {"Tab": 9, "Enter": 13, " ": 32}


def chromium() -> str | None:
    """The browser's path; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Tab:
    """One page. complaints: what the browser wrote to its console, and errors of scripts."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._in, self._out, self._numbers, self._unread, self._session = to_browser, from_browser, count(1), b"", ""
        self.complaints: list[str] = []
        self._events: list[str] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")

    def open(self, page: Path, scripts: bool = True) -> None:
        """Load a file, with or without its scripts."""
        self._ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        self._events.clear()
        self._ask("Page.navigate", url=page.resolve().as_uri())
        while "Page.loadEventFired" not in self._events:
            self._read()

    def run(self, script: str) -> Any:
        """The value of an expression, which runs whatever the page's policy says."""
        result = self._ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key, as a person would."""
        text = {"Enter": "\r", " ": " "}.get(key)
        pressed = {"key": key, "windowsVirtualKeyCode": KEYS[key]}
        self._ask("Input.dispatchKeyEvent", type="keyDown", **pressed, **({"text": text} if text else {}))
        self._ask("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def click(self, x: float, y: float) -> None:
        """Click at a place of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def resize(self, width: int, height: int = 900) -> None:
        """Give the window so many pixels."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def media(self, kind: str) -> None:
        """Show the page as on "screen" or in "print"."""
        self._ask("Emulation.setEmulatedMedia", media=kind)

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != number:
            pass
        assert "error" not in answer, answer["error"]
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> dict[str, Any]:
        """The next message; events are noted."""
        while b"\0" not in self._unread:
            assert select.select([self._out], [], [], SECONDS)[0], "the browser does not answer"
            read = os.read(self._out, 1 << 20)
            assert read, "the browser is gone"
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        method = message.get("method", "")
        self._events.append(method)
        if method in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.complaints.append(json.dumps(message["params"]))
        return message


def _above(descriptor: int) -> int:
    """The same file at a number that is not one of those which the browser expects its pipe at, 3 and 4."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


@contextmanager
def tab(browser: str, profile: Path) -> Iterator[Tab]:
    """A page in a new browser with an empty profile, which ends with the block."""
    (read_here, write_there), (read_there, write_here) = (map(_above, os.pipe()) for _ in range(2))
    command = [sys.executable, "-c", _LAUNCH, str(read_there), str(write_there), browser, *FLAGS,
               f"--user-data-dir={profile}"]  # fmt: skip
    process = subprocess.Popen(command, pass_fds=(read_there, write_there), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    os.close(read_there)
    os.close(write_there)
    try:
        yield Tab(write_here, read_here)
    finally:
        os.close(write_here)  # the browser ends with its pipe
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        os.close(read_here)
