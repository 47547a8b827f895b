# SPDX-License-Identifier: Apache-2.0
"""``report.html``: one page that needs nothing else, not even a network."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from wam_ros.core.robot import Robot
from wam_ros.report.plots import foresight_plot, histogram, joint_plots
from wam_ros.report.recording import SCENE
from wam_ros.report.summary import Attempt, Run, gathered_figures, summarise, write_whole
from wam_ros.report.versions import versions

STRIP_FRAMES = 8

#: Figures that deserve a sentence: key to (label, unit, factor to that unit, what it says).
MOTION_FIGURES: Mapping[str, tuple[str, str, float, str]] = {
    "motion__seam_step_rad_max": ("Position step at a seam", "mrad", 1e3, "largest jump where a new chunk takes over"),
    "motion__seam_step_rad_s_max": ("Velocity step at a seam", "rad/s", 1, "largest change of speed at that place"),
    "motion__idle_share": ("Idle", "%", 100, "share of time without a chunk to follow"),
    "motion__jerk_rms_rad_s3": ("Jerk", "rad/s\N{SUPERSCRIPT THREE}", 1, "root mean square of what is commanded"),
    "motion__tracking_lag_ms": ("Tracking lag", "ms", 1, "delay of the arms after what is commanded"),
    "motion__tracking_rms_rad": ("Tracking error", "mrad", 1e3, "root mean square distance between the two"),
    "motion__period_ms_p99": ("Command period, p99", "ms", 1, "the pace of commands to the robot"),
    "motion__accepted": ("Chunks accepted", "", 1, "joined to the committed trajectory"),
}


@dataclass(frozen=True)
class Segment:
    """A stage on an attempt's track, in percent of its length."""

    name: str
    left: float
    width: float
    reached_s: float


@dataclass(frozen=True)
class Still:
    """One picture of the camera strip."""

    time_s: float
    reached: str
    pictures: Mapping[str, str]


def write_report(folder: Path, run: Run, robot: Robot) -> Path:
    """Write ``report.html``; it shows ``video.mp4`` when that lies beside it."""
    return write_whole(folder / "report.html", render(run, robot).encode())


def render(run: Run, robot: Robot) -> str:
    """Return the page."""
    template = templates().get_template("report.html.j2")
    shown = _shown(run)
    axis_s = max((attempt.duration_s for attempt in run.attempts), default=0.0) or 1.0
    arms = {arm.name: (*arm.joints, arm.gripper.joint) for arm in robot.arms}
    return template.render(
        run=run,
        summary=summarise(run),
        latency=Markup(histogram(run.latency_ms(), "inference [ms]", (50, 95))),
        skew=Markup(histogram(run.skew_ms(), "camera skew [ms]", (50, 99))),
        shown=shown,
        shown_number=run.attempts.index(shown) + 1 if shown else 0,
        joints=Markup(joint_plots(shown.recording, arms, shown.duration_s)) if shown else "",
        strip=strip(shown) if shown else [],
        cameras=[SCENE, *(camera.name for camera in robot.cameras)],
        axis_s=axis_s,
        tracks=[track(attempt, axis_s) for attempt in run.attempts],
        motion=motion_rows(gathered_figures(run.attempts)),
        foresight=foresight_rows(gathered_figures(run.attempts)),
        foreseen=Markup(foresight_plot(shown.recording, shown.duration_s)) if shown else "",
        figures=_figures_by_node(run.attempts),
        versions=versions(),
    )


def templates() -> Environment:
    """Return the pages' templates, which share their style."""
    found = Environment(
        loader=PackageLoader("wam_ros.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["number"] = number
    return found


def strip(attempt: Attempt, count: int = STRIP_FRAMES) -> list[Still]:
    """Return pictures spread over the attempt, each with the stages reached since the one before."""
    frames = attempt.recording.frames()
    picked = sorted({round(i) for i in np.linspace(0, len(frames) - 1, count)}) if frames else []
    stills, before_s = [], -1.0
    for frame in (frames[i] for i in picked):
        # The last picture is taken a moment before the last stage is judged.
        until_s = attempt.duration_s if frame is frames[-1] else frame.time_s
        reached = [name for name, at_s in attempt.stages.items() if at_s is not None and before_s < at_s <= until_s]
        pictures = {name: data_uri(data) for name, data in frame.pictures.items()}
        stills.append(Still(frame.time_s, ", ".join(reached), pictures))
        before_s = until_s
    return stills


def track(attempt: Attempt, axis_s: float) -> list[Segment]:
    """Return the stages of an attempt in the order in which they were reached, on an axis of that length."""
    reached = sorted((at_s, name) for name, at_s in attempt.stages.items() if at_s is not None)
    starts = [(0.0, ""), *reached]
    return [Segment(name, 100 * a / axis_s, 100 * (b - a) / axis_s, b) for (a, _), (b, name) in pairwise(starts)]


def data_uri(jpeg: bytes) -> str:
    """Return a picture as an address that holds it."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def number(value: float | int | None, digits: int = 3) -> str:
    """Return a number with so many significant digits, without an exponent where it can be read; a dash for None."""
    if value is None:
        return "\N{EN DASH}"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    decimals = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    return f"{value:.{min(decimals, 6)}f}"


def _shown(run: Run) -> Attempt | None:
    """The attempt worth a look: the first that failed, else the first."""
    return next((a for a in run.attempts if not a.success), run.attempts[0] if run.attempts else None)


def motion_rows(gathered: Mapping[str, float]) -> list[tuple[str, float, str, str]]:
    """Return label, value, unit and meaning of the figures that deserve a sentence."""
    return [
        (label, gathered[key] * factor, unit, meaning)
        for key, (label, unit, factor, meaning) in MOTION_FIGURES.items()
        if key in gathered
    ]


def foresight_rows(gathered: Mapping[str, float]) -> list[tuple[int, float | None, float | None, float | None]]:
    """Return how far ahead [ms], AbsRel, delta1 and PSNR [dB] of what was imagined, nearest first."""
    names = "absrel", "delta1", "psnr_db"
    ahead = {int(m[1]) for key in gathered if (m := re.fullmatch(r"imagination__psnr_db_(\d+)ms", key))}
    rows = {ms: [gathered.get(f"imagination__{name}_{ms}ms") for name in names] for ms in sorted(ahead)}
    return [(ms, absrel, delta1, psnr) for ms, (absrel, delta1, psnr) in rows.items()]


def _figures_by_node(attempts: Sequence[Attempt]) -> dict[str, dict[str, float]]:
    nodes: dict[str, dict[str, float]] = {}
    for key, value in gathered_figures(attempts).items():
        node, _, name = key.partition("__")
        nodes.setdefault(node, {})[name] = value
    return nodes
