# SPDX-License-Identifier: Apache-2.0
"""Where the files of a LeRobot v3.0 dataset lie; one file of each kind for each episode."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHUNK_FILES = 1000
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"


def chunk_and_file(index: int) -> dict[str, int]:
    """Return the chunk of an episode and its file within it."""
    return {"chunk_index": index // CHUNK_FILES, "file_index": index % CHUNK_FILES}


@dataclass(frozen=True)
class Places:
    """Paths below the root of a dataset."""

    root: Path

    @property
    def info(self) -> Path:
        """Format, rate, features and totals."""
        return self.root / "meta" / "info.json"

    @property
    def stats(self) -> Path:
        """Statistics of all episodes."""
        return self.root / "meta" / "stats.json"

    @property
    def tasks(self) -> Path:
        """Task texts and their index."""
        return self.root / "meta" / "tasks.parquet"

    @property
    def ours(self) -> Path:
        """What the format has no place for: robot, grippers' calibration, layout."""
        return self.root / "meta" / "wam_ros.json"

    @property
    def open_folders(self) -> Path:
        """Holds the folder of the episode that is being recorded."""
        return self.root / "open"

    def data(self, index: int) -> Path:
        """Return the table of an episode."""
        return self.root / DATA_PATH.format(**chunk_and_file(index))

    def video(self, key: str, index: int) -> Path:
        """Return a video of an episode."""
        return self.root / VIDEO_PATH.format(video_key=key, **chunk_and_file(index))

    def episode(self, index: int) -> Path:
        """Return the description of an episode; the episode exists when this file does."""
        return self.root / EPISODES_PATH.format(**chunk_and_file(index))

    def archive(self, index: int) -> Path:
        """Return the folder of what arrived during an episode, as it came."""
        return self.root / "archive" / f"episode-{index:06d}"

    def count(self) -> int:
        """Return the number of episodes."""
        return sum(1 for _ in self.root.glob("meta/episodes/chunk-*/file-*.parquet"))
