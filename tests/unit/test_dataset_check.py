# SPDX-License-Identifier: Apache-2.0
"""Every way in which a dataset can be wrong is named, and nothing is changed by looking."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.unit.dataset_support import append, record, small, small_layout
from wam_ros import cli
from wam_ros.core.episode import layout_of
from wam_ros.files.dataset.check import examine
from wam_ros.files.dataset.dataset import Dataset
from wam_ros.files.load import to_data


@pytest.fixture(scope="module")
def twin(robot):
    return small(robot)


@pytest.fixture(scope="module")
def layout(twin):
    return small_layout(twin)


@pytest.fixture(scope="module")
def recorded(twin, layout, tmp_path_factory):
    dataset = Dataset(tmp_path_factory.mktemp("recorded") / "set", layout, twin)
    for count in (8, 6, 5):
        record(dataset, twin, layout, count)
    dataset.release()
    return dataset.root


@pytest.fixture
def root(recorded, tmp_path):
    """A dataset of its own for each test to spoil."""
    return shutil.copytree(recorded, tmp_path / "set")


def problems(root, layout=None, **options):
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}
    found = examine(root, layout, **options)
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()} == before
    return "\n".join(found.problems)


def change_json(path: Path, change) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def change_column(path: Path, key: str, change) -> None:
    table = pq.read_table(path)
    at = table.column_names.index(key)
    values = table[key].to_numpy().copy()
    change(values)
    pq.write_table(table.set_column(at, table.schema.field(key), pa.array(values, table[key].type)), path)


def test_a_good_dataset_has_no_problem(root, layout):
    found = examine(root, layout, deep=True)
    assert found.problems == ()
    assert (found.episodes, found.frames, found.robot) == (3, 19, "sim_r1_lite")
    assert found.seconds == pytest.approx(19 / 15)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("data/chunk-000/file-001.parquet", "file-001.parquet: cannot be read"),
        ("videos/observation.images.head/chunk-000/file-002.mp4", "file-002.mp4: is not a video"),
        ("archive/episode-000001/head_depth.mkv", "head_depth.mkv: is not a video"),
        ("meta/episodes/chunk-000/file-001.parquet", "belongs to no episode"),
        ("meta/tasks.parquet", "tasks.parquet: cannot be read"),
        ("meta/stats.json", "stats.json: cannot be read"),
        ("meta/info.json", "info.json: cannot be read"),
        ("meta/wam_ros.json", "record it with wam_ros"),
    ],
)
def test_a_missing_file_is_named(root, layout, missing, words):
    (root / missing).unlink()
    assert words in problems(root, layout)


def test_a_folder_that_is_no_dataset_is_named(tmp_path):
    assert "record it with wam_ros" in problems(tmp_path)


@pytest.mark.parametrize(
    "file",
    ["data/chunk-000/file-000.parquet", "videos/observation.images.head/chunk-000/file-000.mp4",
     "meta/episodes/chunk-000/file-002.parquet", "meta/tasks.parquet"],
)  # fmt: skip
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_that_is_cut_off_is_named(root, layout, file, share):
    path = root / file
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert path.name in problems(root, layout)


def test_a_video_that_is_shorter_than_its_table_is_named(root, layout):
    videos = root / "videos/observation.images.left_wrist/chunk-000"
    (videos / "file-000.mp4").write_bytes((videos / "file-001.mp4").read_bytes())
    assert "file-000.mp4: frames: expected 8, got 6" in problems(root, layout)


def test_a_video_that_cannot_be_decoded_is_named_when_looked_at_deeply(root, layout):
    path = root / "videos/observation.images.head/chunk-000/file-000.mp4"
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    start, size = packets[4]
    data = bytearray(path.read_bytes())
    data[start + 5 : start + size] = bytes(b ^ 0x5A for b in data[start + 5 : start + size])
    path.write_bytes(data)
    assert not problems(root, layout)
    assert "file-000.mp4" in problems(root, layout, deep=True)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("total_episodes", 4, "total_episodes: expected 3, got 4"),
        ("total_frames", 20, "total_frames: expected 19, got 20"),
        ("fps", 30, "fps: expected 15, got 30"),
        ("codebase_version", "v2.1", "codebase_version: expected v3.0, got v2.1"),
        ("robot_type", "other", "robot_type: expected sim_r1_lite, got other"),
        ("chunks_size", None, "chunks_size: expected 1000, got None"),
    ],
)
def test_a_wrong_entry_of_the_description_is_named(root, layout, key, value, words):
    change_json(root / "meta/info.json", lambda info: info.update({key: value}))
    assert words in problems(root, layout)


def test_a_wrong_picture_size_in_the_description_is_named(root, layout):
    def shrink(info):
        info["features"]["observation.images.head"]["shape"] = [24, 64, 3]

    change_json(root / "meta/info.json", shrink)
    assert "features: observation.images.head: shape: expected [48, 64, 3]" in problems(root, layout)


def test_wrong_statistics_are_named(root, layout):
    def shift(stats):
        stats["action"]["mean"][3] += 0.01

    change_json(root / "meta/stats.json", shift)
    assert "mean of action" in problems(root, layout)


def test_wrong_statistics_of_an_episode_are_named(root, layout):
    path = root / "meta/episodes/chunk-000/file-001.parquet"
    table = pq.read_table(path)
    key = "stats/action/max"
    at, column = table.column_names.index(key), table[key].to_pylist()
    column[0][2] += 0.5
    pq.write_table(table.set_column(at, key, pa.array(column, table[key].type)), path)
    assert "file-001.parquet: max of action" in problems(root, layout)


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("index", lambda v: v.__setitem__(2, 99), "index: expected 8 to 13"),
        ("frame_index", lambda v: v.__setitem__(0, 1), "frame_index"),
        ("episode_index", lambda v: v.fill(0), "episode_index"),
        ("timestamp", lambda v: v.__iadd__(np.float32(0.02)), "timestamp"),
        ("stamp_ns", lambda v: v.__setitem__(3, v[2]), "stamp_ns: expected rising"),
        ("action.left_gripper", lambda v: v.__setitem__(1, np.nan), "finite"),
        ("action.left_gripper", lambda v: v.__setitem__(1, 7.0), "mean of action.left_gripper"),
    ],
)
def test_a_wrong_value_in_the_table_is_named(root, layout, key, change, words):
    change_column(root / "data/chunk-000/file-001.parquet", key, change)
    assert words in problems(root, layout)


def test_a_missing_column_is_named(root, layout):
    path = root / "data/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["requested"]), path)
    assert "requested" in problems(root, layout)


def test_a_task_that_readers_would_not_see_is_named(root, layout):
    path = root / "meta/tasks.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    assert "readers would show 0" in problems(root, layout)


def test_another_robot_rate_joint_order_or_camera_is_named(root, twin):
    other_rate = replace(twin, cameras=tuple(replace(c, rate_hz=30) for c in twin.cameras))
    for wanted, words in (
        (small_layout(replace(twin, name="other")), "another robot's dataset"),
        (small_layout(other_rate), "expected 30 fps, got 15 fps"),
        (small_layout(replace(twin, arms=twin.arms[::-1])), "order of names"),
        (layout_of(twin, ["head"], depth=True, archive_depth=True), "capture_time"),
        (layout_of(twin), "other cameras"),
    ):
        assert words in problems(root, wanted), words


def test_the_command_line_says_good_or_names_every_problem(root, twin, layout, capsys, tmp_path):
    description = tmp_path / "robot.yaml"
    description.write_text(yaml.safe_dump(to_data(twin)))
    assert cli.main(["check", "dataset", str(root), "--robot", str(description), "--deep"]) == cli.OK
    said = capsys.readouterr().out
    assert "3 episodes of sim_r1_lite, 19 rows" in said
    assert said.endswith("good\n")
    (root / "data/chunk-000/file-000.parquet").unlink()
    (root / "meta/tasks.parquet").unlink()
    assert cli.main(["check", "dataset", str(root), "--robot", "sim_r1_lite"]) == cli.MISTAKE
    said = capsys.readouterr().err
    assert all(
        words in said for words in ("3 problems", "file-000.parquet", "tasks.parquet", "these are other cameras")
    )
    assert cli.main(["check", "dataset", str(tmp_path / "nowhere"), "--robot", "sim_r1_lite"]) == cli.MISTAKE
    assert "record it with wam_ros" in capsys.readouterr().err


def test_an_episode_that_was_never_closed_and_what_was_never_finished_are_named(root, twin, layout):
    dataset = Dataset(root, layout, twin)
    episode = dataset.begin()
    append(episode, twin, layout, range(3))
    episode.finish({})
    dataset.release()
    (root / "data/chunk-000/file-009.parquet.part").write_bytes(b"half")
    found = problems(root, layout)
    assert "never closed" in found
    assert "never finished" in found
