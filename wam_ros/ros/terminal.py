# SPDX-License-Identifier: Apache-2.0
"""Keys of a terminal, one by one, without waiting for Enter; the terminal is given back as it was."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty

from wam_ros.core.errors import ConfigError, mismatch


class Terminal:
    """Reads keys.

    Args:
        path: of the terminal, as ``tty`` says it; empty: this process's own.

    Raises:
        ConfigError: it is no terminal, or cannot be opened.
    """

    def __init__(self, path: str = "") -> None:
        self._own = not path
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY) if path else sys.stdin.fileno()
            self._before = termios.tcgetattr(self._file)
        except (OSError, termios.error, ValueError) as error:
            what, got = "keyboard: terminal", repr(path) if path else "a process without one"
            remedy = "start it in a terminal, or name one (the command tty says its name)"
            raise ConfigError(mismatch(what, "a terminal", got, remedy)) from error
        tty.setcbreak(self._file)

    def read(self) -> str:
        """Return the keys pressed since the last look."""
        keys = b""
        while select.select([self._file], [], [], 0.0)[0]:
            more = os.read(self._file, 64)
            if not more:
                break
            keys += more
        return keys.decode("utf-8", "ignore")

    def close(self) -> None:
        """Give the terminal back."""
        termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)
        if not self._own:
            os.close(self._file)
