# SPDX-License-Identifier: Apache-2.0
"""The proposed pose is the one that helps most, and what it is said to bring comes true."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from wam_ros.bench.staged_poses import _above, looking, wrist
from wam_ros.core.handeye.excitation import Demands
from wam_ros.core.handeye.problem import Noise
from wam_ros.core.handeye.proposal import propose
from wam_ros.core.handeye.solve import refine
from wam_ros.core.transforms import exp, invert

SIZES = {"wrist": (640, 480)}


def hardly_tilted(rng):
    return _above(Rotation.from_rotvec([rng.uniform(-0.5, 0.5), rng.uniform(-0.05, 0.05), 0.0]), 0.0, rng)


@pytest.fixture
def case():
    problem, truth = wrist(np.random.default_rng(0), Noise(), 10, hardly_tilted)
    start = {key: T for key, T in truth.items() if key[0] != "shake"}
    return problem, truth, refine(problem, start)


def tool(truth, T_board_cam):
    return {"arm": truth["board", "table"] @ T_board_cam @ invert(truth["camera", "wrist"])}


def test_the_missing_tilt_is_proposed(case):
    problem, truth, solution = case
    rng = np.random.default_rng(1)
    candidates = [tool(truth, hardly_tilted(rng)) for _ in range(6)]
    candidates.insert(3, tool(truth, _above(Rotation.from_rotvec([0.0, 0.6, 0.0]), 0.0, rng)))
    proposal = propose(problem, solution, candidates, SIZES)
    assert proposal.index == 3
    assert proposal.uncertainty < 0.7 * proposal.before


def test_what_was_promised_comes_true(case):
    problem, truth, _ = case
    # Ten poses of a set of eleven, and the eleventh as the only candidate.
    problem, truth = wrist(np.random.default_rng(2), Noise(), 11)
    start = {key: T for key, T in truth.items() if key[0] != "shake"}
    before, after = refine(problem.only(range(10)), start), refine(problem, start)
    demands = Demands()
    promised = propose(problem.only(range(10)), before, [{"arm": problem.poses["arm", 10]}], SIZES, demands)
    region = after.region(("camera", "wrist"))
    got = max(region.radii_m[0] / demands.error_m, region.radii_rad[0] / demands.error_rad)
    assert promised.uncertainty == pytest.approx(got, rel=0.05)


def test_nothing_is_proposed_when_no_board_would_be_in_view(case):
    problem, truth, solution = case
    away = looking(np.random.default_rng(3)) @ exp(np.r_[0, 0, 0, 0, 2.0, 0])
    assert propose(problem, solution, [tool(truth, away)], SIZES) is None
