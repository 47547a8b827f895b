# SPDX-License-Identifier: Apache-2.0
"""``wam bench imagination``: a prophet who is off by a known share is measured to be so, and drawn."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import yaml
from PIL import Image

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("pinocchio", reason="pinocchio is not installed")
from tests.xwam_checkpoint import CAMERAS, MOSAIC, policy_of, random_checkpoint
from wam_ros.bench.imagination import add_arguments, run
from wam_ros.collect.demonstration import EXPERT, INTENDED, Demonstration
from wam_ros.collect.recording import layout_for, write
from wam_ros.core.episode import Row
from wam_ros.core.errors import BackendError, ConfigError
from wam_ros.core.imagination import Imagination
from wam_ros.files.assets import load_robot
from wam_ros.files.dataset.dataset import Dataset
from wam_ros.files.dataset.video import LOSSLESS
from wam_ros.files.load import to_data
from wam_ros.policies.hold import Hold

ROWS, OFF = 24, 1.1
BEGIN_NS = 10**10
OFFSETS_NS = (0, 800_000_000, 1_600_000_000)


def wall_m(row: float) -> float:
    """The wall comes nearer by 1 cm a row."""
    return 0.8 - 0.01 * row


class Prophet(Hold):
    """Knows how the wall moves, and sees it a tenth too far; remembers whose plan it was given."""

    plans: list[np.ndarray] = []  # noqa: RUF012
    imagining = False

    def infer(self, request):
        self.request = request
        type(self).plans.append(request.committed.positions)
        return super().infer(request)

    def imagine(self, _cancelled) -> Imagination | None:
        if not self.imagining:
            return None
        seen = self.request.observation
        rows = [(seen.stamp_ns - BEGIN_NS + ahead) / 1e8 for ahead in OFFSETS_NS]
        depth = np.stack([np.full((64, 80), OFF * wall_m(row), np.float32) for row in rows])
        color = np.full((3, 64, 80, 3), 90, np.uint8)
        path = np.tile(seen.joints.position, (3, 1))
        return Imagination(
            seen.stamp_ns, OFFSETS_NS, dict.fromkeys(CAMERAS, color), dict.fromkeys(CAMERAS, depth), path
        )


WRIST_RED = (0xB3, 0x40, 0x2F)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """A dataset of one episode, and a checkpoint."""
    root, robot = tmp_path_factory.mktemp("held_out"), load_robot("sim_r1_lite")
    random_checkpoint(root / "checkpoint")
    policy = policy_of(root / "checkpoint")
    rows = [
        Row(
            BEGIN_NS + row * 10**8, robot.ready_position() + 1e-3 * row, robot.ready_position(), None, INTENDED, EXPERT,
            dict.fromkeys(CAMERAS, BEGIN_NS + row * 10**8), True, False, "Fold.",
            {c: np.full((64, 80, 3), 90, np.uint8) for c in CAMERAS},
            {c: np.full((64, 80), wall_m(row), np.float32) for c in CAMERAS},
        )
        for row in range(ROWS)
    ]  # fmt: skip
    layout = layout_for(robot, policy, depth=True)
    dataset = Dataset(root / "set", layout, robot, LOSSLESS)
    write(dataset, layout, robot, Demonstration(0, tuple(rows), True, "undisturbed"))
    dataset.release()
    return root


def options(root, backend: str, *words: str):
    said = {**to_data(policy_of(root / "checkpoint")), "backend": backend, "mosaic": to_data(MOSAIC)}
    (root / "policy.yaml").write_text(yaml.safe_dump(said))
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = ("--data", root / "set", "--policy", root / "policy.yaml", "--task", "towel_fold", *words)
    return parser.parse_args([str(word) for word in given])


def test_known_errors_are_found_and_expecting_no_change_is_worse_the_farther_ahead(held_out, tmp_path):
    picture, cut = tmp_path / "deep" / "clouds.png", tmp_path / "cut.png"
    words = "--picture", str(picture), "--cut", str(cut)
    found = run(options(held_out, "tests.unit.test_bench_imagination:Prophet", *words))
    assert (found["episodes"], found["imaginations"], found["plan"]) == (1, 3, "recorded")
    for key in ("absrel", "absrel_0ms", "absrel_800ms", "absrel_1600ms"):
        assert found[key] == pytest.approx(OFF - 1, abs=0.01)
    assert found["delta1"] == 1
    assert found["psnr_db"] > 40  # of a lossless recording, but for its colours
    assert found["still_absrel_0ms"] < 0.01 < found["still_absrel_800ms"] < found["still_absrel_1600ms"]
    # Points a tenth too far on their rays: the walls lie between 3 and 8 cm behind each other.
    assert 10 < found["chamfer_mm"] < 100
    with Image.open(picture) as drawn:
        pixels = np.asarray(drawn.convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    with Image.open(cut) as drawn:
        red = (np.asarray(drawn.convert("RGB")) == WRIST_RED).all(axis=-1).sum(axis=0)
    halves = red[: len(red) // 2].sum(), red[len(red) // 2 :].sum()
    assert min(halves) > 20  # what a wrist camera imagines is in both panels
    # What was given as plan is what the recorded robot did next.
    start = load_robot("sim_r1_lite").ready_position()
    np.testing.assert_allclose(Prophet.plans[0][:, 0] - start[0], 1e-3 * np.arange(1, 17), atol=1e-6)


def test_the_models_own_backend_is_asked_as_it_would_be_deployed(held_out):
    found = run(options(held_out, "xwam", "--stride", "20", "--plan", "own"))
    assert found["imaginations"] == 2
    assert {"absrel_0ms", "delta1_1600ms", "chamfer_mm", "psnr_db"} <= found.keys()


def test_who_cannot_imagine_and_a_card_without_metres_are_refused(held_out, tmp_path):
    with pytest.raises(BackendError, match="expected a backend that imagines, got hold"):
        run(options(held_out, "hold"))
    random_checkpoint(tmp_path / "flat", depth=None)
    with pytest.raises(ConfigError, match="depth on the card: expected near_m and far_m, got none"):
        run(options(held_out, "xwam", "--checkpoint", str(tmp_path / "flat")))
