# SPDX-License-Identifier: Apache-2.0
"""Free the shared memory that killed processes leave behind: 64 MB for each one.

Fast DDS keeps an advisory lock on ``NAME_el`` for as long as the owner of the segment ``NAME`` lives. A
segment whose lock can be taken has no owner; that is the rule of its own tool, ``fastdds shm clean``.
Only segments that our own processes had mapped are looked at.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

# Ports (fastrtps_port...) are small, and reopened by others; Fast DDS cleans them itself.
SEGMENT = re.compile(r"/dev/shm/fastrtps_[0-9a-f]{16}\b")


def segments_of(maps: Path) -> frozenset[Path]:
    """Return the Fast DDS segments in a process's memory map (``/proc/PID/maps``)."""
    return frozenset(Path(name) for name in SEGMENT.findall(maps.read_text()))


def remove_abandoned(segments: Iterable[Path]) -> list[Path]:
    """Remove those segments whose owner is gone; return them."""
    return [segment for segment in segments if _removed(segment)]


def _removed(segment: Path) -> bool:
    lock = segment.with_name(f"{segment.name}_el")
    with suppress(OSError), lock.open("rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        segment.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
        return True
    return False
