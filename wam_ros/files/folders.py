# SPDX-License-Identifier: Apache-2.0
"""Folders that a person has named for results: made, or refused with what is in the way."""

from __future__ import annotations

from pathlib import Path

from wam_ros.core.errors import ConfigError


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises:
        ConfigError: what is in the way.
    """
    require_place(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: this folder cannot be made ({error.strerror}); choose another") from error


def require_place(folder: Path) -> None:
    """Refuse a path on which a file, or a link to nothing, stands where a folder would have to.

    Raises:
        ConfigError: naming it.
    """
    lowest = next((path for path in (folder, *folder.parents) if path.exists() or path.is_symlink()), None)
    if lowest is not None and not lowest.is_dir():
        got = "a file" if lowest.exists() else "a link to nothing"
        raise ConfigError(f"{folder}: expected a folder, or a place for one, got {got} at {lowest}; choose another")
