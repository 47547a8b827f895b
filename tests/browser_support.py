# SPDX-License-Identifier: Apache-2.0
"""A real headless browser, driven by its own debugging protocol: find, click, type."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.process_support import eventually

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--enable-unsafe-swiftshader", "--use-gl=angle", "--use-angle=swiftshader"),
    *("--ignore-gpu-blocklist", "--remote-debugging-port=0", "--remote-allow-origins=*", "--window-size=1200,1600"),
)
_FIND = """(() => {{
  const found = {found};
  if (!found) return null;
  found.scrollIntoView({{block: "center"}});
  const box = found.getBoundingClientRect();
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  return found.contains(document.elementFromPoint(x, y)) ? [x, y] : null;
}})()"""
_BUTTON = '[...document.querySelectorAll("button")].find(b => b.textContent.trim() === {label})'
_INPUT = """[...document.querySelectorAll("input, textarea")].find(i => {{
  for (let e = i; e && e.textContent.length < 200; e = e.parentElement)
    if (e.textContent.trim().startsWith({label})) return true;
}})"""


class Browser:
    """One open page."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._number = socket, 0

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while (answer := json.loads(self._socket.recv(timeout=240))).get("id") != self._number:
            pass
        return answer.get("result", answer)

    def run(self, script: str) -> Any:
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def text(self) -> str:
        return self.run("document.body.innerText") or ""

    def click(self, label: str) -> None:
        """Click a button with the mouse, as soon as there is one that rests."""
        self._click(_BUTTON.format(label=json.dumps(label)))

    def type_into(self, label: str, text: str) -> None:
        self._click(_INPUT.format(label=json.dumps(label)))
        self.call("Input.insertText", text=text)

    def _click(self, found: str) -> None:
        places: list[list[float] | None] = [None]

        def rests() -> bool:
            """It is seen, and where it was at the last look: pages move while they are young."""
            places.append(self.run(_FIND.format(found=found)))
            return places[-1] is not None and places[-1] == places[-2]

        eventually(rests)
        x, y = places[-1] or (0, 0)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


@contextmanager
def browsing(url: str, profile: Path) -> Iterator[Browser]:
    """A browser of its own that shows a page; it has ended when this returns."""
    command = [str(CHROMIUM), *_FLAGS, f"--user-data-dir={profile}", url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with connect(_page_of(profile), max_size=None) as socket:
                yield Browser(socket)
        finally:
            process.terminate()


def _page_of(profile: Path) -> str:
    port_file, pages = profile / "DevToolsActivePort", []

    def there() -> bool:
        with suppress(OSError, IndexError):
            port = port_file.read_text().splitlines()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=10) as answer:
                pages[:] = [tab for tab in json.load(answer) if tab["type"] == "page"]
        return bool(pages)

    eventually(there)
    return str(pages[0]["webSocketDebuggerUrl"])
