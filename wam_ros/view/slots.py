# SPDX-License-Identifier: Apache-2.0
"""One slot for each stream between those who see and those who show: the newest wins, nobody waits."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from wam_ros.core.types import ByteImage, FloatArray, Trajectory


@dataclass
class News:
    """What has come since the last look; None or empty where nothing has.

    Attributes:
        joints: stamp [ns] and (J,) positions, all known.
        safety: state and cause.
        statuses: node to its diagnostics.
    """

    pictures: dict[str, ByteImage] = field(default_factory=dict)
    joints: tuple[int, FloatArray] | None = None
    committed: Trajectory | None = None
    safety: tuple[str, str] | None = None
    statuses: dict[str, dict[str, str]] = field(default_factory=dict)


class Slots:
    """The sink of a side listener (``ros/listen.py``)."""

    def __init__(self) -> None:
        self._news = News()
        self._safety = ("", "")

    def take(self) -> News:
        """Return the news, and begin anew."""
        news, self._news = self._news, News()
        return news

    def wants(self, camera: str, stamp_ns: int) -> bool:
        """Every picture is wanted, for it may be the newest."""
        return True

    def on_picture(self, camera: str, stamp_ns: int, color: ByteImage) -> None:
        """Take a picture."""
        self._news.pictures[camera] = color

    def on_joints(self, stamp_ns: int, position: FloatArray) -> None:
        """Take positions once all are known."""
        if not np.isnan(position).any():
            self._news.joints = stamp_ns, position

    def on_committed(self, trajectory: Trajectory) -> None:
        """Take what is committed."""
        self._news.committed = trajectory

    def on_safety(self, state: str, cause: str) -> None:
        """Take the safety state; its heartbeats are no news."""
        if (state, cause) != self._safety:
            self._safety = self._news.safety = (state, cause)

    def on_status(self, node: str, message: str, values: dict[str, str]) -> None:
        """Take what a node says of itself."""
        self._news.statuses[node] = values
