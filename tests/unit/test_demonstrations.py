# SPDX-License-Identifier: Apache-2.0
"""Demonstrations of the scripted expert: recorded as a policy sees them, checked, and read back for training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("av", reason="PyAV is not installed")
from wam_ros.collect.command import _learner, not_written
from wam_ros.collect.demonstration import EXPERT, Demonstration, Demonstrator, Variety, demonstrator
from wam_ros.collect.recording import Made, Wanted, layout_for, write
from wam_ros.collect.unrest import Straying, Unrest
from wam_ros.core.episode import MISLED
from wam_ros.core.errors import ConfigError, DatasetError
from wam_ros.core.seams import jerk_rms
from wam_ros.core.stitch import stitch
from wam_ros.core.types import Chunk, Observation
from wam_ros.files.assets import find, load_policy, load_robot, load_task, names
from wam_ros.files.dataset.check import examine
from wam_ros.files.dataset.dataset import Dataset
from wam_ros.files.dataset.read import DatasetReader
from wam_ros.files.dataset.video import LOSSLESS
from wam_ros.files.load import to_data
from wam_ros.motion.splicer import Splicer
from wam_ros.policies.expert import Expert
from wam_ros.sim.graphics import choose_backend
from wam_ros.vision.resize import resize

TASK, POLICY = load_task("towel_fold"), load_policy("fastwam_towel_tiny")
ROBOT = load_robot(TASK.default_robot)
BRIEF_S = 1.0
pytestmark = pytest.mark.skipif(choose_backend() == "disabled", reason="nothing draws here")


@pytest.fixture(scope="module")
def folder() -> Iterator[Demonstrator]:
    names = ROBOT.name, TASK.name, POLICY.name, "expert"
    with demonstrator(*names, Variety(randomised=1.0, recoveries=0.0, nudges=0.0)) as made:
        made.world.task = replace(made.world.task, timeout_s=BRIEF_S)  # the first second is enough
        yield made


@pytest.fixture(scope="module")
def brief(folder: Demonstrator) -> Demonstration:
    return replace(folder.demonstrate(3), success=True)


@pytest.fixture(scope="module")
def dataset(brief: Demonstration, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demos")
    layout = layout_for(ROBOT, POLICY)
    opened = Dataset(root, layout, ROBOT, LOSSLESS)
    write(opened, layout, ROBOT, brief)
    write(opened, layout, ROBOT, replace(brief, success=False))
    opened.release()
    return root


def test_a_seed_gives_the_same_demonstration_and_moves_the_arms(folder: Demonstrator, brief: Demonstration) -> None:
    again = folder.demonstrate(3)
    assert len(again.rows) == len(brief.rows) == 11
    assert all(np.array_equal(a.state, b.state) for a, b in zip(again.rows, brief.rows, strict=True))
    assert np.array_equal(again.rows[-1].colors["head"], brief.rows[-1].colors["head"])
    assert np.abs(brief.rows[-1].state - brief.rows[0].state).max() > 0.1


def test_the_executed_motion_strays_and_the_intended_one_does_not(brief: Demonstration) -> None:
    arms = ~np.array(ROBOT.gripper_mask)
    action, state = (np.stack([getattr(r, name) for r in brief.rows])[:, arms] for name in ("action", "state"))
    wobble = np.abs(np.diff(action[-4:], 2, axis=0)).max(), np.abs(np.diff(state[-4:], 2, axis=0)).max()
    assert wobble[0] < wobble[1]


def test_a_view_is_what_the_policy_node_would_lay_into_its_mosaic(folder: Demonstrator) -> None:
    folder.world.reset(4)
    full = {cell.camera: folder.world.render(cell.camera)[0] for cell in POLICY.mosaic.cells}
    views = folder._views()
    for seen in (stitch(POLICY.mosaic, views.colors, resize), views.mosaic):
        assert np.array_equal(seen, stitch(POLICY.mosaic, full, resize))


def test_recorded_demonstrations_pass_the_check_and_failures_are_marked(dataset: Path) -> None:
    found = examine(dataset, layout_for(ROBOT, POLICY), deep=True)
    assert found.problems == ()
    assert (found.episodes, found.failures) == (2, 1)


def test_another_task_is_demonstrated_with_depth_and_read_back(tmp_path: Path) -> None:
    task = load_task("earphone_pack")
    robot = load_robot(task.default_robot)
    variety = Variety(recoveries=0.0, nudges=0.0, depth=True)
    with demonstrator(robot.name, task.name, POLICY.name, "expert", variety) as made:
        made.world.task = replace(made.world.task, timeout_s=BRIEF_S)
        shown = made.demonstrate(1)
        nearest = made.world.render("head")[1].min()
    layout = layout_for(robot, POLICY, depth=True)
    opened = Dataset(tmp_path, layout, robot, LOSSLESS)
    write(opened, layout, robot, replace(shown, success=True))
    opened.release()
    assert examine(tmp_path, layout, deep=True).problems == ()
    (episode,) = DatasetReader(tmp_path)
    cell = POLICY.mosaic.cells[0]
    for row, depth_m in zip(shown.rows, episode.depths(cell.camera), strict=True):
        assert depth_m.shape == (cell.height, cell.width)
        near = row.depths[cell.camera] < 1.5
        assert near.mean() > 0.5
        assert depth_m[near] == pytest.approx(row.depths[cell.camera][near], abs=0.0015)
        assert depth_m[depth_m > 0].min() > 0.8 * nearest


def test_a_missed_grasp_is_aimed_wrong_until_the_hand_opens_again() -> None:
    player = Straying(Splicer.for_robot(ROBOT), ROBOT.gripper_mask, Unrest(0.0, miss_rad=0.1, miss_arm=1), 0)
    ready, grips = ROBOT.ready_position(), np.flatnonzero(ROBOT.gripper_mask)
    player.start(ready, 0)
    seen = []
    for tick in range(330):
        now_ns = tick * 10_000_000
        if tick in (150, 240):
            goal = np.array(ready)
            goal[grips] = 0.0 if tick == 150 else 1.0
            player.offer(Chunk.at_rate(now_ns, ROBOT.joint_names, np.tile(goal, (16, 1)), 10.0), now_ns)
        off = player.sample(now_ns).position - player.splicer.sample(now_ns).position
        seen.append((off[int(grips[0]) + 1], player.missing))
        assert not np.delete(off, int(grips[0]) + 1).any(), "only the arm that misses"
    offsets, missing = np.array([s[0] for s in seen]), np.array([s[1] for s in seen])
    assert offsets[:50].max() == 0
    assert offsets[149] == pytest.approx(0.1)
    assert offsets[-1] == 0
    assert missing[170:240].all(), "a closed hand that comes back to the workpiece too soon takes it after all"
    assert offsets[240] == pytest.approx(0.1)
    assert not missing[:150].any()
    assert not missing[260:].any()


def test_hands_sway_on_the_way_and_neither_where_they_grip_nor_while_they_hold() -> None:
    grips, sway_rad, offsets = np.flatnonzero(ROBOT.gripper_mask), 0.04, []
    rows = np.tile(ROBOT.ready_position(), (16, 1))
    rows[11:, grips] = 0.0  # 1.2 s after each chunk's stamp
    chunks = {0: rows[:1], 80: rows, 160: np.concatenate([rows[8:], rows[11:]]), 240: np.tile(rows[0], (16, 1))}
    for seed in range(40):
        player = Straying(Splicer.for_robot(ROBOT), ROBOT.gripper_mask, Unrest(0.0, sway_rad=sway_rad), seed)
        player.start(ROBOT.ready_position(), 0)
        seen = []
        for tick in range(400):
            now_ns = tick * 10_000_000
            if tick in chunks:
                player.offer(Chunk.at_rate(now_ns, ROBOT.joint_names, chunks[tick], 10.0), now_ns)
            seen.append(player.sample(now_ns).position - player.splicer.sample(now_ns).position)
        offsets.append(seen)
    off = np.array(offsets)
    assert not off[:, :, grips].any()
    assert not off[:, 0].any(), "the robot stands where it stands"
    arms = np.delete(off, grips, axis=2)
    assert arms[:, 50:120].std() == pytest.approx(sway_rad, rel=0.15)
    assert not arms[:, 170:240].any(), "0.3 s before the hands close, and on while they hold"
    assert arms[:, 290:].std() == pytest.approx(sway_rad, rel=0.15), "on the way back"
    assert np.abs(np.diff(arms, axis=1)).max() < sway_rad / 2, "no jump anywhere"


def test_an_arm_sways_while_the_other_holds() -> None:
    grips, sway_rad = np.flatnonzero(ROBOT.gripper_mask), 0.04
    rows = np.tile(ROBOT.ready_position(), (16, 1))
    rows[:, grips[0]] = 0.0
    offsets = []
    for seed in range(40):
        player = Straying(Splicer.for_robot(ROBOT), ROBOT.gripper_mask, Unrest(0.0, sway_rad=sway_rad), seed)
        player.start(ROBOT.ready_position(), 0)
        player.offer(Chunk.at_rate(0, ROBOT.joint_names, rows, 10.0), 0)
        times_ns = [tick * 10_000_000 for tick in range(160)]
        offsets.append([player.sample(t).position - player.splicer.sample(t).position for t in times_ns])
    off = np.array(offsets)
    assert not off[..., : grips[0] + 1].any(), "the arm that holds"
    assert off[:, 60:, grips[0] + 1 : grips[1]].std() == pytest.approx(sway_rad, rel=0.15)


def test_who_is_to_learn_a_task_says_what_is_recorded_of_it(tmp_path: Path) -> None:
    learners = {name: load_policy(_learner(name)) for name in names("tasks")}
    assert {name: policy.backend for name, policy in learners.items()} == {
        "towel_fold": "fastwam",
        "towel_fold_twice": "fastwam",
        "earphone_pack": "xwam",
    }
    # Each is trained by a file of its own name, on what is recorded of it.
    for policy in learners.values():
        said = yaml.safe_load(find(f"config/training/{policy.name}.yaml").read_text(encoding="utf-8"))
        assert said["demonstrations"]["policy"] == policy.name
    path = tmp_path / "task.yaml"
    path.write_text(yaml.safe_dump(to_data(replace(TASK, learner=""))), encoding="utf-8")
    with pytest.raises(ConfigError, match="learner: expected a policy, got none"):
        _learner(str(path))


def test_wishes_that_cannot_be_fulfilled_are_refused() -> None:
    with pytest.raises(ConfigError, match="episodes and workers"):
        Wanted(TASK.name, POLICY.name, workers=0)
    with pytest.raises(ConfigError, match="whole number"):
        layout_for(ROBOT, replace(POLICY, rate_hz=7.5))
    with (
        pytest.raises(ConfigError, match="which demonstrates: expected expert, got hold"),
        demonstrator(ROBOT.name, TASK.name, POLICY.name, "hold", Variety()),
    ):
        pass


def helped(expert: Expert) -> Demonstration:
    """An attempt that a policy begins which does not move."""
    policy = replace(POLICY, backend="hold")
    expert.load(replace(load_policy("expert"), rate_hz=policy.rate_hz, execute_rows=1), ROBOT, TASK)
    made = Demonstrator(ROBOT, TASK, policy, Variety(recoveries=0.0, nudges=0.0, takeovers=1.0), expert)
    try:
        return made.demonstrate(5)
    finally:
        made.close()


def test_the_expert_takes_over_from_a_policy_that_needs_help() -> None:
    made = helped(Expert())
    assert made.success
    assert "a takeover" in made.why
    who = [row.control_source for row in made.rows]
    led = who.index(EXPERT)
    assert 5 <= led <= 60, "it leads for 0.5 to 6 s"
    assert who == ["policy"] * led + [EXPERT] * (len(who) - led)
    wished = np.stack([row.action for row in made.rows[:led]])
    held = np.stack([row.state for row in made.rows[:led]][:: POLICY.execute_rows])
    assert wished[:: POLICY.execute_rows] == pytest.approx(held), "it wants to stand where it is seen"
    assert np.abs(made.rows[led + 10].action - made.rows[led].state).max() > 0.1


def test_a_policy_that_nobody_could_help_is_no_demonstration() -> None:
    class Helpless(Expert):
        def can_take_over(self, seen: Observation) -> bool:
            return False

    made = helped(Helpless())
    assert made.unaided
    assert not made.rows
    assert made.why == "the policy was not helped"


def test_an_attempt_without_help_is_not_counted_as_a_failure() -> None:
    alone = Made(7, False, False, "the policy was not helped", unaided=True)
    good, bad = Made(8, True, True, "undisturbed"), Made(9, False, False, "a nudge")
    assert not_written([good], marked=False) == []
    said = not_written([alone, good, bad], marked=False)
    assert said[0].startswith("1 of 3 are no demonstrations")
    assert said[1] == "1 of 2 failed and were left out: seeds 9 (a nudge)"


class TestAsTrainingMaterial:
    """Needs torch."""

    @pytest.fixture(autouse=True)
    def _needs_torch(self) -> None:
        pytest.importorskip("torch", reason="torch is not installed")

    def material(self, root: Path, out: Path, **changes: object):  # type: ignore[no-untyped-def]
        from wam_ros.training.spec import load_spec

        spec = load_spec(POLICY.name)
        wanted = replace(spec.demonstrations, datasets=(str(root),))
        return replace(spec, demonstrations=wanted, **changes).material(out)

    def test_a_batch_holds_what_the_policy_node_would_have_seen(
        self, dataset: Path, brief: Demonstration, tmp_path: Path
    ) -> None:
        import torch

        from wam_ros.models.latent import PixelCodec, to_picture
        from wam_ros.training.data import Windows, z_scores
        from wam_ros.training.spec import load_spec

        params = load_spec(POLICY.name).params()
        made = self.material(dataset, tmp_path)
        maps = z_scores(made.episodes)
        windows = Windows(made.episodes, params, maps, lambda _: torch.zeros(8, 128))
        assert len(windows) == len(brief.rows), "the failed episode is left out"
        batch = windows.batch([5], PixelCodec(params.latent))
        node = torch.from_numpy(stitch(POLICY.mosaic, brief.rows[5].colors, resize))[None]
        assert torch.equal(batch.observed.picture, to_picture(node, 96, 80))
        state = torch.from_numpy(maps.state.forward(np.float32(brief.rows[5].state).astype(float))).float()
        assert torch.equal(batch.observed.proprio[0], state)
        action = maps.action.forward(np.float32(brief.rows[6].action).astype(float))
        assert batch.actions[0, 1].numpy() == pytest.approx(action, abs=1e-6)
        intended = np.stack([np.float32(row.action) for row in brief.rows])[:, ~np.array(ROBOT.gripper_mask)]
        assert made.jerk_rms == pytest.approx(jerk_rms(intended, 1 / POLICY.rate_hz), rel=1e-4)

    def test_decoded_pictures_are_kept_and_made_anew_for_another_dataset(self, dataset: Path, tmp_path: Path) -> None:
        first = self.material(dataset, tmp_path).episodes[0].frames
        stamp_ns = (tmp_path / "pictures.npy").stat().st_mtime_ns
        assert np.array_equal(self.material(dataset, tmp_path).episodes[0].frames, first)
        assert (tmp_path / "pictures.npy").stat().st_mtime_ns == stamp_ns
        (tmp_path / "pictures.json").write_text('"of another dataset"')
        self.material(dataset, tmp_path)
        assert (tmp_path / "pictures.npy").stat().st_mtime_ns > stamp_ns

    def test_no_window_begins_where_the_demonstrator_was_misled(self, brief: Demonstration, tmp_path: Path) -> None:
        import torch

        from wam_ros.training.data import Windows, z_scores
        from wam_ros.training.spec import load_spec

        layout = layout_for(ROBOT, POLICY)
        opened = Dataset(tmp_path / "d", layout, ROBOT, LOSSLESS)
        sources = [MISLED if k in (4, 5) else EXPERT for k in range(len(brief.rows))]
        rows = [replace(row, control_source=who) for row, who in zip(brief.rows, sources, strict=True)]
        write(opened, layout, ROBOT, replace(brief, rows=tuple(rows)))
        opened.release()
        episodes = self.material(tmp_path / "d", tmp_path / "out").episodes
        params = load_spec(POLICY.name).params()
        windows = Windows(episodes, params, z_scores(episodes), lambda _: torch.zeros(8, 128))
        assert len(windows) == len(brief.rows) - 2

    @pytest.mark.parametrize(("after", "examples"), [(EXPERT, 7), ("teleop", 7), ("policy", 11), ("", 11)])
    def test_what_a_policy_did_is_no_example_where_somebody_had_to_take_over(
        self, brief: Demonstration, tmp_path: Path, after: str, examples: int
    ) -> None:
        layout = layout_for(ROBOT, POLICY)
        opened = Dataset(tmp_path / "d", layout, ROBOT, LOSSLESS)
        sources = ["policy" if k < 4 else after for k in range(len(brief.rows))]
        rows = [replace(row, control_source=who) for row, who in zip(brief.rows, sources, strict=True)]
        write(opened, layout, ROBOT, replace(brief, rows=tuple(rows)))
        opened.release()
        (episode,) = self.material(tmp_path / "d", tmp_path / "out").episodes
        assert episode.examples.sum() == examples
        assert episode.examples[4:].all()

    @pytest.mark.parametrize(
        ("file", "words"),
        [
            ("data/chunk-000/file-000.parquet", "file-000.parquet: cannot be read"),
            ("videos/observation.images.head/chunk-000/file-001.mp4", "file-001.mp4"),
            ("meta/stats.json", "mean of action"),
        ],
    )
    def test_a_damaged_dataset_is_refused_by_name_and_nothing_is_made_of_it(
        self, dataset: Path, tmp_path: Path, file: str, words: str
    ) -> None:
        root = shutil.copytree(dataset, tmp_path / "demos")
        path = root / file
        if path.suffix == ".json":
            stats = json.loads(path.read_text())
            stats["action"]["mean"][3] += 0.01
            path.write_text(json.dumps(stats))
        else:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(DatasetError, match=words):
            self.material(root, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"robot": "other"}, "robot"),
            ({"rate_hz": 15.0, "horizon": 16}, "rate"),
            ({"cell": "belly"}, "camera"),
            ({"joints": True}, "joints of the state"),
        ],
    )
    def test_what_does_not_fit_is_refused_by_name(self, dataset: Path, changes: dict[str, object], named: str) -> None:
        from wam_ros.files.dataset.read import DatasetReader
        from wam_ros.training.demonstrations import _check_dataset

        said, robot, policy = DatasetReader(dataset).said, ROBOT, POLICY
        if "robot" in changes:
            said = replace(said, robot="other")
        if "rate_hz" in changes:
            policy = replace(policy, rate_hz=15.0)
        if "cell" in changes:
            cells = (replace(policy.mosaic.cells[0], camera="belly"), *policy.mosaic.cells[1:])
            policy = replace(policy, mosaic=replace(policy.mosaic, cells=cells))
        if "joints" in changes:
            robot = replace(ROBOT, arms=ROBOT.arms[::-1])
        with pytest.raises(DatasetError, match=named):
            _check_dataset("demos", said, robot, policy)

    def test_a_model_of_another_horizon_and_no_dataset_at_all_are_refused(self, dataset: Path, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="horizon"):
            self.material(dataset, tmp_path, horizon=8)
        with pytest.raises(DatasetError, match="expected the description"):
            self.material(tmp_path / "nothing", tmp_path)
