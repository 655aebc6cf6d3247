"""Debian's Firefox, driven without a window by its own protocol, Marionette: JSON over a socket."""

import base64
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from piperline.video.images import decode_image
from tests.helpers.browser import Pixels

_SECONDS = 120


class Firefox:
    """A page in Firefox.

    Args:
        door: connected to a browser.
    """

    def __init__(self, door: socket.socket) -> None:
        self._door, self._numbers = door.makefile("rwb"), count()
        self._take()  # it introduces itself
        self.ask("WebDriver:NewSession")
        self.ask("WebDriver:SetWindowRect", width=1400, height=1000)

    def ask(self, command: str, **arguments: object) -> Any:
        """What comes of a command."""
        text = json.dumps([0, next(self._numbers), command, arguments]).encode()
        self._door.write(b"%d:%s" % (len(text), text))
        self._door.flush()
        _, _, error, result = self._take()
        assert error is None, error
        return result

    def _take(self) -> Any:
        digits = b"".join(iter(lambda: self._door.read(1), b":"))
        return json.loads(self._door.read(int(digits)))

    def run(self, script: str) -> Any:
        """What a script of the page returns, also when it has to be waited for."""
        done = "const done = arguments[arguments.length - 1];"
        asked = f"{done} (async () => {{ {script} }})().then(done, (e) => done(String(e)));"
        answer = self.ask(
            "WebDriver:ExecuteAsyncScript", script=asked, args=[], sandbox=None
        )
        return answer["value"]

    def open(self, page: Path) -> None:
        """Open a page from the disk, and wait until it is ready."""
        self.ask("WebDriver:Navigate", url=page.resolve().as_uri())
        end = time.monotonic() + _SECONDS
        while self.run("return document.documentElement.dataset.ready") is None:
            assert time.monotonic() < end, "the page is not ready"
            time.sleep(0.1)

    def photo(self) -> Pixels:
        """What is seen, uint8 (H, W, 3)."""
        shot = self.ask("WebDriver:TakeScreenshot", full=False)["value"]
        return decode_image(base64.b64decode(shot))


@contextmanager
def firefox(profile: Path, downloads: Path) -> Iterator[Firefox]:
    """A browser with a profile of its own. A missing one is a fault of the machine."""
    path = shutil.which("firefox-esr")
    assert path, "apt-get install firefox-esr"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "marionette.port": port,
        "browser.download.folderList": 2,
        "browser.download.dir": str(downloads),
    }
    lines = [
        f"user_pref({json.dumps(name)}, {json.dumps(value)});"
        for name, value in settings.items()
    ]
    (profile / "user.js").write_text("\n".join(lines))
    process = subprocess.Popen(
        [path, "--headless", "--marionette", "--profile", profile],
        env={**os.environ, "HOME": str(profile), "MOZ_HEADLESS_WIDTH": "1400"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with _connected(port, process) as door:
            yield Firefox(door)
    finally:
        process.terminate()
        process.wait()


def _connected(port: int, process: subprocess.Popen[bytes]) -> socket.socket:
    end = time.monotonic() + _SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), _SECONDS)
        except ConnectionRefusedError:
            assert process.poll() is None, "Firefox has ended"
            assert time.monotonic() < end, "Firefox does not answer"
            time.sleep(0.2)
