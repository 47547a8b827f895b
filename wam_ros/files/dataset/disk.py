# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or absent: written aside, synced, renamed; and folders whose names are on the disk, too."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

#: Ends the name of a file that is still being written.
PART = ".part"


def part_of(path: Path) -> Path:
    """Return where a file is written before it gets its name; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(path.name + PART)


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_names(paths: Iterable[Path], top: Path) -> None:
    """Wait until the names of files, and of the folders they lie in up to ``top``, are on the disk.

    Once for many files: the first call of this kind brings along what the others would wait for.
    """
    folders = {folder for path in paths for folder in path.parents if folder == top or top in folder.parents}
    for folder in sorted(folders, reverse=True):
        sync_file(folder)


def publish(part: Path, path: Path) -> None:
    """Give a file that was written aside its name; its content is on the disk before. See :func:`sync_names`."""
    sync_file(part)
    part.replace(path)
    # A rename between two names of one file does nothing (POSIX): so it is after a crash, where a journal is linked.
    part.unlink(missing_ok=True)


def put(path: Path, content: bytes) -> None:
    """Replace a file by new content: whoever reads it sees the old or the new. See :func:`sync_names`."""
    part = part_of(path)
    part.write_bytes(content)
    publish(part, path)


def put_json(path: Path, data: Any) -> None:
    """Replace a JSON file; numbers that are not finite are refused. See :func:`sync_names`."""
    put(path, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())


def remove_folder(folder: Path) -> None:
    """Remove a folder and what is in it: first its name, so that no half of it is ever found."""
    doomed = folder.with_name(f".{folder.name}{PART}")
    if doomed.exists():
        shutil.rmtree(doomed)
    folder.rename(doomed)
    sync_file(folder.parent)
    shutil.rmtree(doomed)


def free_bytes(path: Path) -> int:
    """Return how much may still be written there."""
    return shutil.disk_usage(path).free


def size_bytes(folder: Path) -> int:
    """Return what the files of a folder and of those below it take; others may write and rename there meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # it has another name now
            total += path.stat().st_size if path.is_file() else 0
    return total
