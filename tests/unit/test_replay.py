# SPDX-License-Identifier: Apache-2.0
"""A policy asked about recorded episodes, and a recording as samples in the order of their capture."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.dataset_support import PERIOD_NS, START_NS, append, small, small_layout
from wam_ros import cli
from wam_ros.core.errors import ConfigError
from wam_ros.core.open_loop import OpenLoop
from wam_ros.core.types import Chunk
from wam_ros.files.assets import load_policy, load_task
from wam_ros.files.dataset.dataset import Dataset
from wam_ros.files.dataset.playback import JointSample, PictureSample, playback
from wam_ros.files.dataset.read import DatasetReader
from wam_ros.files.dataset.video import H264
from wam_ros.files.load import to_data
from wam_ros.policies.open_loop import requests
from wam_ros.replay import as_recorded, numbers

ROWS = 20
NOWHERE = ["--set", "policy.checkpoint=nowhere", "--set", "policy.rate_hz=15"]


@pytest.fixture(scope="module")
def twin(robot):
    return small(robot)


@pytest.fixture(scope="module")
def root(twin, tmp_path_factory):
    place, layout = tmp_path_factory.mktemp("asked") / "set", small_layout(twin)
    dataset = Dataset(place, layout, twin, H264)
    for success in ("success", "failure", ""):
        episode = dataset.begin(room=10_000)
        append(episode, twin, layout, range(ROWS), load_task("towel_fold").instruction)
        dataset.close(episode, success=success)
    dataset.release()
    return place


def asked(root, *words, out=None):
    return cli.main(["replay", str(root), "--policy", "hold", *words, *(["--json", str(out)] if out else [])])


def test_keeping_the_pose_is_as_far_off_as_the_recording_moves(root, tmp_path, capsys):
    out = tmp_path / "asked.json"
    assert asked(root, "--stride", "1", out=out) == 0
    data = json.loads(out.read_text())
    assert data["questions"] == 2 * ROWS
    # Each row lies 1/1000 beyond the one before it, and its target another 1/1000.
    ahead = [1 + row for start in range(ROWS) for row in range(ROWS - start)]
    assert data["arms_rad"]["hold"]["first_mean"] == pytest.approx(0.001, abs=1e-6)
    assert data["arms_rad"]["hold"]["horizon_mean"] == pytest.approx(np.mean(ahead) / 1000, abs=1e-6)
    assert data["arms_rad"]["policy"] == data["arms_rad"]["hold"]
    assert data["tools_m"]["policy"] == data["tools_m"]["hold"]
    assert 0 < data["tools_m"]["hold"]["left"]["first_mean"] < 0.005, "a milliradian in each of six joints"
    assert len(data["joints"]["policy"]) == 14
    assert len(data["policy_sha256"]) == 64
    said = capsys.readouterr().out
    assert all(row in said for row in ("left_arm_joint1", "arms [rad]", "grippers [opening]", "left tool [m]"))


def test_episodes_can_be_chosen(root, tmp_path):
    for words, count in ((["--episodes", "1"], 1), (["--episodes", "0-1,2"], 3), ([], 2)):
        out = tmp_path / f"{count}.json"
        assert asked(root, "--stride", str(ROWS), *words, out=out) == 0
        assert json.loads(out.read_text())["questions"] == count


def test_requests_are_those_of_the_recorded_rows(root, robot):
    policy, recording = load_policy("hold"), DatasetReader(root)[0]
    pictures = list(recording.pictures("head"))
    found = list(requests(recording, policy, robot, 3))
    assert [r.observation.stamp_ns for r in found] == recording.values("stamp_ns")[::3].tolist()
    for row, request in zip(range(0, ROWS, 3), found, strict=True):
        np.testing.assert_array_equal(request.observation.joints.position, recording.states[row])
        np.testing.assert_array_equal(request.observation.views["head"].color, pictures[row])
        assert request.mosaic.shape == (384, 320, 3)
        assert request.observation.views["left_wrist"].skew_ns == 1_000_000


@given(st.floats(-0.5, 0.5), st.integers(1, 30))
def test_the_distance_of_a_shifted_recording_is_the_shift(shift, rows):
    times_ns = [i * PERIOD_NS for i in range(1, rows + 1)]
    targets = np.sin(np.linspace(0, 3, rows))[:, None] * [1.0, 2.0, 0.1]
    chunk = Chunk(0, ("a", "b", "grip"), targets + shift, times_ns)
    table = OpenLoop(("a", "b", "grip"), (False, False, True), rows + 4, {})
    table.add(chunk, times_ns[: max(1, rows - 2)], targets[: max(1, rows - 2)])
    for figures in (table.arms(), table.grippers(), *table.joints().values()):
        assert all(value == pytest.approx(abs(shift), abs=1e-9) for value in figures.values())


def test_a_tool_is_as_far_off_as_the_arm_is_bent_wrongly():
    place = lambda position: np.array([np.cos(position[0]), np.sin(position[0]), 0.0])  # noqa: E731
    table = OpenLoop(("a", "grip"), (False, True), 3, {"left": place})
    targets = np.array([[0.0, 0.0], [0.1, 0.0]])
    table.add(Chunk(0, ("a", "grip"), np.array([[0.2, 1.0], [0.1, 1.0], [9.0, 0.0]]), [10, 20, 30]), [10, 20], targets)
    found = table.tools()["left"]
    assert found["first_mean"] == pytest.approx(2 * np.sin(0.1))
    assert found["horizon_mean"] == pytest.approx(np.sin(0.1)), "what was never recorded does not count"


def test_samples_come_in_the_order_of_their_capture(root, twin):
    reader = DatasetReader(root)
    played = playback(reader[0], reader.said, twin)
    samples = list(played.samples)
    assert [s.stamp_ns for s in samples] == sorted(s.stamp_ns for s in samples)
    joints = [s for s in samples if isinstance(s, JointSample)]
    heads = [s for s in samples if isinstance(s, PictureSample) and s.camera == "head"]
    assert (
        [s.stamp_ns for s in joints] == [s.stamp_ns for s in heads] == [START_NS + i * PERIOD_NS for i in range(ROWS)]
    )
    assert {type(s) for s in samples[:2]} == {JointSample, PictureSample}
    assert heads[3].depth_mm is not None
    assert heads[3].depth_mm[1, 1] == 530
    assert len(samples) == ROWS * 4
    assert len(played.rounds_ns) == ROWS


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "camera head: expected 320x240 at 15 Hz, got 64x48 at 15 Hz; write the robot as it was recorded with"),
        (["--robot-out", "{}/robot.yaml", "--episode", "5"], "episode: expected 0 to 2, got 5"),
    ],
)
def test_what_cannot_be_replayed_is_one_sentence(root, tmp_path, capsys, words, sentence):
    assert cli.main(["replay", str(root), *(word.format(tmp_path) for word in words)]) == 2
    assert sentence in capsys.readouterr().err


def test_the_robot_as_recorded_has_the_recorded_cameras(root, robot, twin):
    found = as_recorded(robot, DatasetReader(root).said)
    assert [(c.name, c.height, c.width, c.rate_hz) for c in found.cameras] == [
        (c.name, c.height, c.width, c.rate_hz) for c in twin.cameras
    ]
    assert [bool(c.depth) for c in found.cameras] == [True, False, False]


@pytest.mark.parametrize(("text", "expected"), [("", []), ("3", [3]), ("0-2,7", [0, 1, 2, 7])])
def test_numbers_of_episodes_are_read(text, expected):
    assert numbers(text) == expected


@pytest.mark.parametrize("text", ["a", "3-1", "1-", "-2", "1;2"])
def test_what_is_no_number_of_an_episode_is_refused(text):
    with pytest.raises(ConfigError, match="--episodes: expected numbers as in 0-9,12"):
        numbers(text)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--episodes", "7"], "episode: expected 0 to 2, got 7"),
        (["--set", "policy.rate_hz=10"], "rate [fps]: expected 10.0, got 15.0"),
        (["--set", "robot.name=other"], "--set: expected policy.KEY=VALUE, got robot"),
        (["--policy", "expert"], "policy expert reads the simulator's truth"),
        (["--stride", "-1"], "--stride: expected 1 or more"),
        (["--policy", "fastwam_towel_tiny", *NOWHERE], "checkpoints/nowhere: not found"),
        (["--json", "/nowhere/a.json"], "/nowhere/a.json: cannot be written"),
    ],
)
def test_what_does_not_fit_is_one_sentence(root, capsys, words, sentence):
    assert asked(root, *words) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def changed(root, tmp_path, edit):
    """A copy of the dataset, changed."""
    place = tmp_path / "copy"
    shutil.copytree(root, place)
    edit(place)
    return place


def edited(name, change):
    def edit(place):
        path = place / "meta" / name
        path.write_text(change(path.read_text()))

    return edit


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda place: next(place.glob("videos/*head/*/*000.mp4")).unlink(), "file-000.mp4"),
        (lambda place: (place / "meta" / "wam_ros.json").unlink(), "expected the description of a recording"),
        (lambda place: next(place.glob("data/*/*000.parquet")).unlink(), "file-000.parquet"),
        (edited("wam_ros.json", lambda s: s.replace("left_arm_joint1", "left_arm_joint9")), "joints of the state"),
        (edited("wam_ros.json", lambda s: s.replace('"sim_r1_lite"', '"nobody"')), "robots: expected one of"),
    ],
)
def test_a_dataset_that_lacks_something_is_one_sentence(root, tmp_path, capsys, edit, sentence):
    assert asked(changed(root, tmp_path, edit)) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_another_robot_and_another_task_are_refused(root, tmp_path, robot, capsys):
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({**to_data(robot), "name": "other"}))
    task = tmp_path / "task.yaml"
    task.write_text(yaml.safe_dump({**to_data(load_task("towel_fold")), "instruction": "Iron it."}))
    for words, sentence in (
        (["--robot", str(other)], "robot: expected other, got sim_r1_lite"),
        (["--task", str(task)], "recorded: expected the instruction of task towel_fold, got ['Fold the towel"),
    ):
        assert asked(root, *words) == 2
        assert sentence in capsys.readouterr().err
