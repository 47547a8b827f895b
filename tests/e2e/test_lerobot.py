# SPDX-License-Identifier: Apache-2.0
"""LeRobot's own reader finds in a dataset what this package's reader does: each frame, each column, each picture.

Needs an interpreter that has ``lerobot`` (docs/recording.md); it reads v3.0 or v2.1, whichever it is of.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
pytest.importorskip("mujoco", reason="no MuJoCo in this environment")

from tests.e2e.test_run import LIMIT_S, REPOSITORY, needs_graphics, run
from wam_ros.core.depth_codes import to_codes, to_millimetres
from wam_ros.files.dataset.export_v21 import export_v21
from wam_ros.files.dataset.read import DatasetReader

PYTHON = os.environ.get("WAM_LEROBOT_PYTHON", "")
READER = REPOSITORY / "tests" / "lerobot_reader.py"
pytestmark = [
    needs_graphics,
    pytest.mark.skipif(not PYTHON, reason="WAM_LEROBOT_PYTHON names no Python that has lerobot"),
]


def demonstrate(folder: Path) -> Path:
    """Two demonstrations: lossless colours, depth of 12 bits."""
    root = folder / "demonstrations"
    words = ["record", "--sim", "--task", "towel_fold", "--episodes", "2", "--seed", "7", "--depth", "--out", str(root)]
    subprocess.run([sys.executable, "-m", "wam_ros", *words], check=True, timeout=LIMIT_S, capture_output=True)
    return root


def record(folder: Path) -> Path:
    """One attempt through the recorder node: lossy colours, two kinds of depth."""
    root = folder / "recorded"
    code, said, complained = run(folder / "out", "--policy", "expert", "--pace", "lockstep", "--record", str(root))
    assert code == 0, said + complained
    return root


def read_with_lerobot(*arguments: Path) -> str:
    command = [PYTHON, str(READER), *map(str, arguments)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("make", [demonstrate, record])
def test_lerobot_reads_the_same(make, tmp_path):
    root, found = make(tmp_path), tmp_path / "found.npz"
    reader, older = DatasetReader(root), read_with_lerobot() == "v2.1"
    if older:
        export_v21(root, tmp_path / "older")
    read_with_lerobot(tmp_path / "older" if older else root, found)
    items, start = np.load(found), 0
    assert (int(items["episodes"]), int(items["fps"])) == (len(reader), reader.said.layout.fps)
    assert int(items["frames_of_last"]) == len(reader[len(reader) - 1])
    assert len(items["index"]) == sum(map(len, reader))
    for recording in reader:
        end = start + len(recording)
        compare(recording, {key: items[key][start:end] for key in items if items[key].ndim}, reader.said)
        start = end


def compare(recording, items, said) -> None:
    videos = {stream.key for stream in said.layout.features}
    assert set(items) == {*recording.table.column_names, *videos, "task", "action_is_pad"}
    windows, actions = items["action"], recording.values("action")
    last = len(recording) - 1
    for ahead in range(windows.shape[1]):
        rows = np.minimum(np.arange(len(recording)) + ahead, last)
        np.testing.assert_array_equal(windows[:, ahead], actions[rows])
        np.testing.assert_array_equal(items["action_is_pad"][:, ahead], np.arange(len(recording)) + ahead > last)
    for key in {*recording.table.column_names} - {"action"}:
        values = recording.values(key)
        # What is kept in 64 bits, LeRobot hands out in 32.
        wanted = values.astype(np.float32) if values.dtype == np.float64 else values
        np.testing.assert_array_equal(items[key], wanted, err_msg=key)
    assert items["task"].tolist() == recording.instructions
    for camera in recording.cameras:
        compare_colors(recording.pictures(camera), items[f"observation.images.{camera}"], said.color.options)
        depth_key = f"observation.images.{camera}_depth"
        if depth_key in videos:
            compare_depths(recording.depths(camera), items[depth_key])


def compare_colors(pictures, theirs, options) -> None:
    for ours, their in zip(pictures, theirs, strict=True):
        apart = np.abs(ours.astype(int) - their)
        if options.get("qp") == "0":
            assert apart.max() == 0
        else:  # two decoders round differently on the way from YUV
            assert apart.mean() < 1.5
            assert np.percentile(apart, 99.9) <= 8


def compare_depths(depths, theirs) -> None:
    """LeRobot of today shows 12-bit depth as grey of 8 bits."""
    for depth_m, their in zip(depths, theirs, strict=True):
        codes = to_codes(to_millimetres(depth_m)).astype(float)
        np.testing.assert_allclose(their, np.repeat(codes[..., None] / 16, 3, axis=2), atol=1)
