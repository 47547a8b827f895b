# SPDX-License-Identifier: Apache-2.0
"""A dataset that is being recorded: opened by one process, recovered when it is opened, one episode at a time."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from wam_ros.core.episode import EpisodeLayout, PictureKind
from wam_ros.core.errors import ConfigError, DatasetError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.files.dataset import journal
from wam_ros.files.dataset.closing import Closed, close_episode, read_description, write_description
from wam_ros.files.dataset.declaration import declaration_of, difference, read_declaration
from wam_ros.files.dataset.disk import PART, free_bytes, part_of, publish, put_json, remove_folder, sync_names
from wam_ros.files.dataset.journal import OpenEpisode
from wam_ros.files.dataset.places import Places
from wam_ros.files.dataset.statistics import as_lists, together
from wam_ros.files.dataset.tables import info_of, tasks_table, write_table
from wam_ros.files.dataset.video import H264, Codec, codecs_beside
from wam_ros.files.folders import make_folder

#: Left free on the disk, so that an open episode can always be closed.
RESERVE_BYTES = 64 * 2**20


class Dataset:
    """A dataset open for recording.

    Opening it finishes what a crash left behind. Only one process may have it open.

    Args:
        root: its folder; made when it does not exist.
        layout: what its episodes contain.
        robot: described in the dataset, with the calibration of its grippers.
        color: codec of the colour videos of a new dataset; one that exists keeps its own.

    Attributes:
        episodes: all that are closed.
        recovered: what was done about a crash, in words.

    Raises:
        ConfigError: the dataset is another robot's or layout's, another process has it open, or it may not be written.
        DatasetError: a file of it is damaged.
    """

    def __init__(self, root: Path, layout: EpisodeLayout, robot: Robot, color: Codec = H264) -> None:
        self._places, self._layout, self._robot = Places(root), layout, robot
        make_folder(root)
        self._lock = self._take_lock()
        self._codecs = codecs_beside(color)
        self._agree()
        self.episodes = [self._described(index) for index in range(self._places.count())]
        self.recovered: list[str] = []
        self._recover()
        if not self._places.info.exists() or self.recovered:
            self._write_totals()

    @property
    def root(self) -> Path:
        """Its folder."""
        return self._places.root

    @property
    def codecs(self) -> Mapping[PictureKind, Codec]:
        """Kind of picture to its codec."""
        return self._codecs

    def begin(self, room: int = journal.ROOM_ROWS) -> OpenEpisode:
        """Open the next episode.

        Args:
            room: rows that may wait for the encoders.

        Raises:
            DatasetError: the one before was neither closed nor discarded, or the disk is full.
        """
        index = len(self.episodes)
        folder = self._places.open_folders / f"{index:06d}"
        if folder.exists():
            self._recover()
            index = len(self.episodes)
            folder = self._places.open_folders / f"{index:06d}"
        if free_bytes(self.root) < RESERVE_BYTES:
            got = f"{free_bytes(self.root) / 2**20:.0f} MB"
            raise DatasetError(mismatch(f"{self.root}: space", f"{RESERVE_BYTES / 2**20:.0f} MB", got, "make room"))
        return OpenEpisode(folder, index, self._layout, self._codecs, room)

    def has_space_for(self, episode: OpenEpisode) -> bool:
        """Return whether the disk still takes more of an open episode, and then its final files."""
        return free_bytes(self.root) > 1.2 * episode.size_bytes + RESERVE_BYTES

    def close(
        self, episode: OpenEpisode, *, success: str = "", ended: str = "stopped", ledger: Any = None
    ) -> Closed | None:
        """Make an open episode part of the dataset; None when it had no row.

        Args:
            episode: of this dataset.
            success: ``success``, ``failure`` or empty.
            ended: how, for people.
            ledger: what was heard of each topic; plain data.

        Raises:
            DatasetError: its files do not hold what was written into them.
            OSError: the disk is full. The episode stays where it is; opening the dataset again finishes it.
        """
        episode.finish({"success": success, "ended": ended, "ledger": ledger or {}})
        return self._finish(episode.folder)

    def discard(self, episode: OpenEpisode) -> None:
        """Throw an open episode away."""
        episode.finish({"success": "", "ended": "discarded", "ledger": {}})
        remove_folder(episode.folder)

    def mark(self, index: int, success: bool) -> None:
        """Say whether a closed episode succeeded.

        Raises:
            DatasetError: there is no such episode.
        """
        if not 0 <= index < len(self.episodes):
            raise DatasetError(mismatch("episode", f"0..{len(self.episodes) - 1}", index, "mark one that is closed"))
        marked = replace(self.episodes[index], success="success" if success else "failure")
        write_description(self._places, marked, self._layout, self._start(index))
        self.episodes[index] = marked

    def release(self) -> None:
        """Let other processes open it."""
        self._lock.close()

    # -- what it is ------------------------------------------------------------------------

    def _take_lock(self) -> IO[str]:
        try:
            lock = (self.root / ".lock").open("w")
        except OSError as error:
            raise ConfigError(f"{self.root}: may not be written ({error.strerror}); choose another folder") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise ConfigError(
                f"{self.root}: another process records into it; end it or choose another folder"
            ) from error
        return lock

    def _agree(self) -> None:
        """Hold what we were told against what the dataset says, or write it there."""
        path = self._places.ours
        if not path.exists():
            if self._places.info.exists():
                raise ConfigError(f"{self.root}: this dataset was not recorded here; choose an empty folder")
            put_json(path, declaration_of(self._robot, self._layout, self._codecs["color"]))
            sync_names([path], self.root)
            return
        said = read_declaration(self.root)
        if said.layout != self._layout:
            raise ConfigError(f"{self.root}: {difference(said.layout, self._layout)}; choose another folder")
        self._codecs["color"] = said.color

    def _described(self, index: int) -> Closed:
        return read_description(self._places.episode(index))

    def _start(self, index: int) -> int:
        return sum(episode.length for episode in self.episodes[:index])

    def _tasks(self) -> list[str]:
        return list(dict.fromkeys(task for episode in self.episodes for task in episode.tasks))

    # -- how it grows ----------------------------------------------------------------------

    def _finish(self, folder: Path) -> Closed | None:
        index = len(self.episodes)
        closed = close_episode(self._places, folder, index, self._layout, self._start(index), self._tasks())
        if closed is not None:
            self.episodes.append(closed)
            self._write_totals()
        remove_folder(folder)
        return closed

    def _write_totals(self) -> None:
        """Write what follows from the episodes; each file is replaced whole."""
        places, tasks, frames = self._places, self._tasks(), self._start(len(self.episodes))
        part = part_of(places.tasks)
        write_table(part, tasks_table(tasks))
        publish(part, places.tasks)
        put_json(places.stats, as_lists(together([episode.stats for episode in self.episodes])))
        put_json(places.info, info_of(self._layout, self._codecs, len(self.episodes), frames, len(tasks)))
        sync_names([places.info], self.root)

    def _recover(self) -> None:
        for part in list(self.root.rglob(f"*{PART}")):
            shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
        for folder in sorted(self._places.open_folders.glob("[0-9]*")):
            index = int(folder.name)
            if index < len(self.episodes):
                remove_folder(folder)  # it was closed, only its journal was still there
                self.recovered.append(f"episode {index}: was whole")
                continue
            closed = self._finish(folder)
            what = f"{closed.length} rows kept" if closed else "nothing had been written"
            self.recovered.append(f"episode {index}: {what}")
