# SPDX-License-Identifier: Apache-2.0
"""Attempts played through different ways of joining chunks, and the bench that compares them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from wam_ros.bench import seams
from wam_ros.bench.closed_loop import Stand, bench_stand, run
from wam_ros.bench.players import CLOSED_LOOP_METHODS, METHODS
from wam_ros.core.errors import BackendError, ConfigError
from wam_ros.core.limits import Limits
from wam_ros.core.seams import violations
from wam_ros.core.types import Chunk, Observation
from wam_ros.motion.splicer import Splicer
from wam_ros.policies.base import Request
from wam_ros.sim.rollout import Bare, Moment, Pace, attempt

STEP_S = 0.01
BRIEF_S = 1.8


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with bench_stand("", 0.004) as built:
        built.world.task = replace(built.task, timeout_s=BRIEF_S)  # an attempt's first seconds are enough
        yield replace(built, task=built.world.task)


class Listening:
    """A backend that keeps what it was asked."""

    def __init__(self, stand: Stand) -> None:
        self._backend = stand.backend
        self.requests: list[Request] = []

    def reset(self) -> None:
        self._backend.reset()

    def infer(self, request: Request) -> Chunk:
        self.requests.append(request)
        return self._backend.infer(request)


class Broken(Listening):
    """A backend whose every inference fails."""

    def infer(self, request: Request) -> Chunk:
        raise BackendError("nothing")


def played(stand: Stand, player: Bare | Splicer | None) -> list[Moment]:
    stand.backend.reset()

    def act(seen: Observation) -> Chunk:
        return stand.backend.infer(Request(seen, np.zeros((1, 1, 3), np.uint8), "", None, 0.19))

    return list(islice(attempt(stand.world, act, 3, Pace(latency_s=0.19, draw=False), player), 40))


def test_without_a_player_the_newest_chunk_is_followed_bare(stand: Stand) -> None:
    one, other = played(stand, None), played(stand, Bare())
    assert all(np.array_equal(a.targets, b.targets) for a, b in zip(one, other, strict=True))


def test_the_robots_own_splicer_plays_an_attempt_and_stays_near_the_bare_chunks(stand: Stand) -> None:
    splicer = Splicer.for_robot(stand.robot)
    bare, spliced = played(stand, None), played(stand, splicer)
    far = max(
        np.abs(a.targets - b.targets)[~np.array(stand.robot.gripper_mask)].max()
        for a, b in zip(bare, spliced, strict=True)
    )
    assert 0 < far < 0.05
    assert splicer.statistics.accepted == 4


def test_the_splicer_keeps_the_limits_in_an_attempt_and_bare_rows_do_not(stand: Stand) -> None:
    arms = ~np.array(stand.robot.gripper_mask)
    limits = Limits(*(bound[arms] for bound in (*stand.robot.bounds(), *stand.robot.motion_limits())))
    commanded = {m: stand.fold(m, 0.35, 0).commanded[:, arms] for m in ("governed", "naive", "c2")}
    assert violations(commanded["governed"], STEP_S, limits) == 0
    assert violations(commanded["naive"], STEP_S, limits) > 20
    assert len(commanded["c2"]) == len(commanded["governed"]) == round(BRIEF_S / STEP_S) + 1


def test_every_method_starts_the_fold_and_the_same_seed_gives_the_same_attempt(stand: Stand) -> None:
    for method in CLOSED_LOOP_METHODS:
        assert np.abs(np.ptp(stand.fold(method, 0.19, 1).commanded, axis=0)).max() > 0.3, method
    assert np.array_equal(stand.fold("governed", 0.19, 1).commanded, stand.fold("governed", 0.19, 1).commanded)


def test_a_policy_is_told_what_is_committed_once_its_last_chunk_has_landed(stand: Stand) -> None:
    backend = Listening(stand)
    trial = replace(stand, backend=backend).fold("governed", 0.8, 0)
    first, second = backend.requests[:2]
    assert first.committed is None
    assert second.observation.stamp_ns == 800_000_000
    assert second.delay_s == 0.8
    assert second.committed.times_ns[0] == pytest.approx(second.observation.stamp_ns + 1e9 / 15, abs=1)
    executed = [trial.commanded[round(time / 1e7)] for time in second.committed.times_ns[:11]]
    assert second.committed.positions[:11] == pytest.approx(np.array(executed), abs=0.03)


def test_peers_tell_their_policies_nothing(stand: Stand) -> None:
    backend = Listening(stand)
    replace(stand, backend=backend).fold("naive", 0.35, 0)
    assert len(backend.requests) > 2
    assert all(request.committed is None for request in backend.requests)


def test_failed_inferences_leave_the_robot_where_it_is(stand: Stand) -> None:
    trial = replace(stand, backend=Broken(stand)).fold("governed", 0.0, 0)
    assert not trial.success
    assert trial.time_s == BRIEF_S
    assert np.ptp(trial.commanded, axis=0).max() == 0


def test_chunks_disagree_by_what_was_asked_and_grippers_do_not(stand: Stand) -> None:
    request = stand.backend.example_request()
    stand.backend.reset()
    chunk = stand.backend.infer(request)
    grips = np.array(stand.robot.gripper_mask)
    moved = [stand.disagreeing(replace(chunk, stamp_ns=i), seed=5).positions - chunk.positions for i in range(200)]
    assert np.ptp(moved, axis=1)[:, ~grips].max() == pytest.approx(0, abs=1e-12)
    assert np.std(np.array(moved)[:, 0, ~grips]) == pytest.approx(0.004, rel=0.05)
    assert not np.array(moved)[:, :, grips].any()


def test_a_latency_that_chunks_cannot_hide_is_refused(stand: Stand) -> None:
    with pytest.raises(ConfigError, match="cannot hide 1500 ms"):
        stand.fold("governed", 1.5, 0)


def options(*given: str) -> Namespace:
    parser = ArgumentParser()
    seams.add_arguments(parser)
    return parser.parse_args(given)


def test_the_towel_is_folded_at_350_ms() -> None:
    figures = run(options("--episodes", "1", "--methods", "governed", "--latencies", "350"))
    assert figures["success__governed__350"] == 1.0
    assert 4 < figures["time_s__governed__350"] < 9
    assert figures["jerk_rms_closed__governed__350"] < 30
    assert figures["episodes_closed"] == 1


def test_the_plot_shows_the_success_that_was_measured(tmp_path: Path) -> None:
    cells = [f"{method}__{latency}" for method in METHODS for latency in seams.LATENCIES_MS]
    figures = {f"{key}__{cell}": 1.0 for key in ("jerk_rms", "lag_ms") for cell in cells}
    figures |= {"jerk_rms__demo": 1.0, "default_method": "governed"}
    seams.plot(figures, tmp_path / "open.svg")
    closed = {f"success__{method}__{latency}": 0.5 for method in ("naive", "governed") for latency in (0, 350)}
    seams.plot({**figures, **closed, "episodes_closed": 4.0}, tmp_path / "closed.svg")
    assert "axes_5" not in (tmp_path / "open.svg").read_text()
    assert "axes_5" in (tmp_path / "closed.svg").read_text()
