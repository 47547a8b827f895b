# SPDX-License-Identifier: Apache-2.0
"""What tests of whole processes share: a ROS domain apart from nodes of the test process, and waiting for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic

#: A node that lingers in the test process would be a stranger in the graph of its processes.
DOMAIN = str(int(os.environ["ROS_DOMAIN_ID"]) + 5)


def eventually(condition: Callable[[], bool], timeout_s: float = 240.0) -> None:
    """Wait until the condition holds."""
    deadline_s = monotonic() + timeout_s
    while not condition():
        assert monotonic() < deadline_s, "it did not come true"
        Event().wait(0.05)


def alive(pid: int) -> bool:
    """A process that runs; one that has ended and waits to be noticed does not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def processes_of(folder: Path) -> dict[int, list[str]]:
    """Command lines of the node processes of the run that writes to a folder."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0") if entry.name.isdecimal() else []
        except OSError:
            continue
        if any(word.startswith(f"{folder}/nodes/") for word in words):
            found[int(entry.name)] = words
    return found
