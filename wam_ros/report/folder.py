# SPDX-License-Identifier: Apache-2.0
"""The run folder: what a run leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.stitch import stitch
from wam_ros.core.types import ByteImage
from wam_ros.report.summary import Run, write_summary
from wam_ros.vision.resize import resize


def write_run(folder: Path, run: Run, robot: Robot, policy: Policy) -> None:
    """Write ``video.mp4``, ``report.html`` and at last ``summary.json``, which says whether the run is complete."""
    # Plotting and encoding are needed when the graph has ended; until then they would only take its memory.
    from wam_ros.report.html import write_report
    from wam_ros.report.video import write_video

    def mosaic(views: Mapping[str, ByteImage]) -> ByteImage:
        return stitch(policy.mosaic, views, resize)

    write_video(folder / "video.mp4", run.attempts, mosaic, robot.leader_camera)
    write_report(folder, run, robot)
    write_summary(folder, run)
