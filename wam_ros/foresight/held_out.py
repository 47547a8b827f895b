# SPDX-License-Identifier: Apache-2.0
"""A model's imagination on recorded episodes, without ROS: asked as the policy node would ask it, held against what followed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from wam_ros.core.errors import BackendError, mismatch
from wam_ros.core.foresight import DepthErrors, chamfer_m, depth_errors
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.types import JointState, Observation, Trajectory, View, nanoseconds
from wam_ros.files.dataset.read import Recording
from wam_ros.foresight.comparison import Compared, Sighted, sighted
from wam_ros.foresight.scenes import Scenes
from wam_ros.policies.base import Backend, Imaginative, Request
from wam_ros.policies.open_loop import requests
from wam_ros.vision.sight import Sight


@dataclass(frozen=True)
class Moment:
    """One imagined picture and what was recorded of its time; and what was seen when it was imagined."""

    compared: Compared
    start: Sighted


def moments(
    recording: Recording, backend: Backend, robot: Robot, policy: Policy, sights: Mapping[str, Sight], stride: int
) -> Iterator[Moment]:
    """Yield every picture that a model imagines from every so many rows, as far as the episode goes.

    Args:
        recording: with depth.
        backend: loaded, and told by its policy which plan it imagines.
        robot, policy: that it was loaded with.
        sights: camera to how the model sees it.
        stride: rows from one observation to the next.

    Raises:
        BackendError: it cannot imagine.
        DatasetError: there is no depth in the recording, or a file is damaged.
    """
    if not isinstance(backend, Imaginative):
        raise BackendError(mismatch(f"policy {policy.name}", "a backend that imagines", policy.backend, "choose xwam"))
    seen = list(_seen(recording, robot, sights))
    row_of = {sight.stamp_ns: row for row, sight in enumerate(seen)}
    for request in requests(recording, policy, robot, stride):
        row = row_of[request.observation.stamp_ns]
        backend.imagining = True
        backend.infer(_with_future(request, recording, policy, row))
        imagined = backend.imagine(lambda: False)
        if imagined is None:
            raise BackendError(f"policy {policy.name}: imagined nothing; its backend was loaded without need")
        for frame, offset_ns in enumerate(imagined.offsets_ns):
            later = row + round(offset_ns * 1e-9 * policy.rate_hz)
            if later < len(seen):
                yield Moment(Compared(imagined, frame, seen[later]), seen[row])


def _with_future(request: Request, recording: Recording, policy: Policy, row: int) -> Request:
    """Return the request with what the recorded robot did next as what is committed."""
    path = recording.states[row + 1 : row + 1 + policy.horizon]
    start_ns, names = request.observation.stamp_ns, request.observation.joints.names
    times = tuple(start_ns + nanoseconds((k + 1) / policy.rate_hz) for k in range(len(path)))
    return replace(request, committed=Trajectory(names, times, path, np.zeros_like(path)))


def _seen(recording: Recording, robot: Robot, sights: Mapping[str, Sight]) -> Iterator[Sighted]:
    """Yield each row as the model sees it."""
    stamps, states = recording.values("stamp_ns").tolist(), recording.states
    colors = zip(*(recording.pictures(name) for name in sights), strict=True)
    depths = zip(*(recording.depths(name) for name in sights), strict=True)
    for stamp_ns, state, pictures, metres in zip(stamps, states, colors, depths, strict=True):
        views = {n: View(stamp_ns, p, d) for n, p, d in zip(sights, pictures, metres, strict=True)}
        yield sighted(Observation(stamp_ns, views, JointState(stamp_ns, robot.joint_names, state)), sights)


@dataclass
class Tally:
    """Errors of many pictures, each pixel and each cloud counted once.

    ``still`` is what expecting no change at all would have made: the measured depth of the start.
    """

    imagined: list[DepthErrors] = field(default_factory=list)
    still: list[DepthErrors] = field(default_factory=list)
    psnr_db: list[float] = field(default_factory=list)
    chamfers_m: list[float] = field(default_factory=list)

    def add(self, moment: Moment, scenes: Scenes, far_m: float) -> None:
        """Count a moment."""
        compared, start = moment.compared, moment.start
        seen, k = compared.seen, compared.frame
        own = compared.imagined.depths_m or {}
        self.imagined.append(depth_errors([(own[c][k], d) for c, d in seen.depths_m.items() if c in own], far_m))
        before = start.depths_m
        # Where the start was not measured there is nothing to expect.
        pairs = [(before[c][before[c] > 0], d[before[c] > 0]) for c, d in seen.depths_m.items() if c in before]
        self.still.append(depth_errors(pairs, far_m))
        self.psnr_db.append(compared.errors(far_m)["psnr_db"])
        clouds = scenes.imagined(compared.imagined, k), scenes.measured(seen)
        self.chamfers_m.append(chamfer_m(*(cloud.points for cloud in clouds)))

    def figures(self) -> dict[str, float]:
        """Return ``absrel``, ``delta1``, ``psnr_db``, ``chamfer_mm``, ``still_absrel``, ``still_delta1``."""
        own, still = _pooled(self.imagined), _pooled(self.still)
        found = {
            "absrel": own.absrel,
            "delta1": own.delta1,
            "psnr_db": _mean(self.psnr_db),
            "chamfer_mm": 1e3 * _mean(self.chamfers_m),
            "still_absrel": still.absrel,
            "still_delta1": still.delta1,
        }
        return {key: value for key, value in found.items() if np.isfinite(value)}


def _pooled(parts: Sequence[DepthErrors]) -> DepthErrors:
    pixels = sum(part.pixels for part in parts)
    if not pixels:
        return DepthErrors(np.nan, np.nan, 0)
    known = [part for part in parts if part.pixels]
    absrel, delta1 = (sum(getattr(p, what) * p.pixels for p in known) / pixels for what in ("absrel", "delta1"))
    return DepthErrors(absrel, delta1, pixels)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
