# SPDX-License-Identifier: Apache-2.0
"""How well a checkpoint imagines: depth, pictures and clouds on held-out episodes, beside expecting no change at all."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter

import numpy as np

from wam_ros.core.card import Card
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.policy import Policy, check_policy_fits
from wam_ros.core.robot import Robot
from wam_ros.core.transforms import exp
from wam_ros.core.types import FloatArray, seconds
from wam_ros.files.assets import load_policy, load_robot, load_task
from wam_ros.files.card import checkpoint_folder, read_card
from wam_ros.files.dataset.fits import require_robot, require_views
from wam_ros.files.dataset.read import DatasetReader, Recording
from wam_ros.files.mounts import read_mounts
from wam_ros.foresight.alignment import WRONG, Alignment
from wam_ros.foresight.held_out import Moment, Tally, moments
from wam_ros.foresight.scenes import Scenes
from wam_ros.kinematics.viewpoints import Viewpoints
from wam_ros.policies.registry import create_backend
from wam_ros.vision.colored_cloud import BACKGROUND
from wam_ros.vision.sight import Sight, ideal_matrix, sights_of

#: Whose plan is imagined: what the recorded robot did next, or the model's own, which nobody followed.
PLANS = {"recorded": "committed", "own": "joint"}
STALE_DAYS = 3650.0


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``wam bench imagination``."""
    add = parser.add_argument
    add("--data", type=Path, required=True, help="dataset of held-out episodes, recorded with --depth")
    add("--policy", required=True, help="name or YAML path of a policy that imagines")
    add("--checkpoint", default="", help="folder with a card (default: the policy's)")
    add("--task", required=True, help="name or YAML path")
    add("--robot", default="", help="name or YAML path (default: the task's)")
    add("--episodes", type=int, default=0, help="so many of the first ones (default: all)")
    add("--stride", type=int, default=0, help="rows from one observation to the next (default: what is executed)")
    add("--plan", default="recorded", choices=PLANS, help="what is imagined: what was done, or the model's own chunk")
    add("--picture", type=Path, metavar="PNG", help="draw measured and imagined clouds side by side")
    add(
        "--cut",
        type=Path,
        metavar="PNG",
        help="draw a cut through imagined and measured clouds, as calibrated and displaced",
    )
    add("--moment", type=float, default=0.4, help="share of the first episode after which is drawn (default: 0.4)")


def run(options: Namespace) -> dict[str, float | str]:
    """Return the keys of the bench ``imagination``: of all pictures, and with ``_800ms`` of those so far ahead.

    Raises:
        ConfigError: robot, policy, checkpoint or dataset do not fit, or the card knows no metres.
        DatasetError: a dataset without depth, or a damaged one.
    """
    robot = load_robot(options.robot or load_task(options.task).default_robot)
    policy, card = _chosen(options, robot)
    assert card.depth is not None
    sights, far_m = sights_of(robot, policy.mosaic, card), card.depth.far_m
    scenes = Scenes(robot, sights, _matrices(robot, tuple(sights)), far_m)
    recordings = _recordings(options, robot, policy)
    tallies: dict[int, Tally] = defaultdict(Tally)
    everything, drawn, begun_s = Tally(), list[Moment](), perf_counter()
    carried = [name for name, arm in Viewpoints(robot).carriers().items() if arm and name in sights]
    imagined, measured = (Alignment(scenes.intrinsics, carried, BACKGROUND * far_m) for _ in range(2))
    for number, moment in _moments(options, recordings, robot, policy, sights):
        for tally in (everything, tallies[moment.compared.offset_ns]):
            tally.add(moment, scenes, far_m)
        of, seen, k = moment.compared.imagined, moment.compared.seen, moment.compared.frame
        own = {name: depths[k] for name, depths in (of.depths_m or {}).items()}
        then = seen.depths_m, scenes.poses(seen.position)
        imagined.add(own, scenes.poses(of.positions[k]), *then)
        measured.add(*then, *then)
        if number == 0 and moment.start.stamp_ns <= _wanted_ns(recordings[0], options.moment):
            drawn = [*(m for m in drawn if m.start is moment.start), moment]
    if options.picture:
        _draw(options, drawn, scenes)
    if options.cut:
        _draw_cut(options.cut, drawn[0], scenes, carried)
    ahead = {
        f"{k}_{round(1e3 * seconds(ns))}ms": v for ns, t in sorted(tallies.items()) for k, v in t.figures().items()
    }
    counts = {"episodes": float(len(recordings)), "imaginations": float(len(tallies[0].imagined))}
    aligned = {**imagined.figures(), **{f"measured_{key}": mm for key, mm in measured.figures().items()}}
    spent = {"seconds": perf_counter() - begun_s}
    return {"plan": options.plan, **counts, **spent, **everything.figures(), **aligned, **ahead}


def _chosen(options: Namespace, robot: Robot) -> tuple[Policy, Card]:
    policy = load_policy(options.policy)
    imagine = {**policy.options, "imagine": PLANS[options.plan]}
    policy = replace(policy, checkpoint=options.checkpoint or policy.checkpoint, options=imagine)
    check_policy_fits(policy, robot)
    card = read_card(checkpoint_folder(policy))
    if card.depth is None:
        what, remedy = (
            f"{policy.checkpoint}: depth on the card",
            "convert it with --depth NEAR FAR, or train with depth",
        )
        raise ConfigError(mismatch(what, "near_m and far_m", "none", remedy))
    return policy, card


def _matrices(robot: Robot, cameras: tuple[str, ...]) -> dict[str, FloatArray]:
    """Camera matrices by the robot's calibration; a twin's without one by its field of view."""
    mounts = read_mounts(robot, cameras, datetime.now(timezone.utc), STALE_DAYS)
    if mounts is None:
        return {name: ideal_matrix(robot.camera(name)) for name in cameras}
    return {name: mounts.cameras[name].optics.matrix() for name in cameras}


def _recordings(options: Namespace, robot: Robot, policy: Policy) -> list[Recording]:
    reader, remedy = DatasetReader(options.data), "choose the dataset, robot or policy that fits"
    require_robot(options.data, reader.said, robot, remedy)
    require_views(options.data, reader.said, policy.rate_hz, (c.camera for c in policy.mosaic.cells), remedy)
    found = [recording for recording in reader if recording.described.success != "failure"]
    found = found[: options.episodes] if options.episodes else found
    if not found:
        raise ConfigError(mismatch(f"{options.data}: episodes", "one or more that did not fail", "none", "record some"))
    return found


def _moments(
    options: Namespace, recordings: list[Recording], robot: Robot, policy: Policy, sights: Mapping[str, Sight]
) -> Iterator[tuple[int, Moment]]:
    backend, stride = create_backend(policy.backend), options.stride or policy.execute_rows
    backend.load(policy, robot, load_task(options.task))
    try:
        for number, recording in enumerate(recordings):
            backend.reset()
            for moment in moments(recording, backend, robot, policy, sights, stride):
                yield number, moment
    finally:
        backend.close()


def _wanted_ns(recording: Recording, share: float) -> int:
    stamps = recording.values("stamp_ns")
    return int(stamps[0] + share * (stamps[-1] - stamps[0]))


def _draw(options: Namespace, drawn: list[Moment], scenes: Scenes) -> None:
    from wam_ros.report.clouds import Row, draw_clouds

    rows = []
    for compared in (moment.compared for moment in drawn):
        clouds = scenes.measured(compared.seen), scenes.imagined(compared.imagined, compared.frame)
        rows.append(Row(seconds(compared.offset_ns), *clouds, scenes.error(compared)))
    draw_clouds(rows, load_task(options.task).workspace, options.picture)


def _draw_cut(path: Path, moment: Moment, scenes: Scenes, displaced: list[str]) -> None:
    from wam_ros.report.cuts import Cut, cut, draw_cuts

    of, seen, k = moment.compared.imagined, moment.compared.seen, moment.compared.frame
    poses, measured_poses = scenes.poses(of.positions[k]), scenes.poses(seen.position)
    cases = {"as calibrated": poses, "10 mm and 2 deg off": {name: T @ exp(WRONG) for name, T in poses.items()}}
    measured = {
        f"{name}, measured": scenes.points(name, depth_m, measured_poses[name])
        for name, depth_m in seen.depths_m.items()
        if name not in displaced
    }
    imagined = {
        title: {
            f"{n}, imagined": scenes.points(n, d[k], where[n]) for n, d in (of.depths_m or {}).items() if n in displaced
        }
        for title, where in cases.items()
    }
    known = np.concatenate([np.empty((0, 3)), *imagined["as calibrated"].values()])
    if not len(known):
        raise ConfigError("--cut: expected wrist cameras that imagine a surface, got none; choose another --moment")
    y_m = float(np.sort(known[:, 1])[len(known) // 2])  # of a point: the slice is not empty
    (left, low), (right, high) = 1e3 * np.percentile(cut(known, y_m), (2, 98), axis=0)
    clouds = {title: {**measured, **own} for title, own in imagined.items()}
    cuts = [
        Cut(title, {name: cut(points, y_m) for name, points in of_case.items()}) for title, of_case in clouds.items()
    ]
    draw_cuts(cuts, (left, right), (low - 10, high + 40), path)
