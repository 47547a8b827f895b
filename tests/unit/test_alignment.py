# SPDX-License-Identifier: Apache-2.0
"""Surfaces that a camera sees, or imagines, lie on those that another measures where the cameras are believed to be where they are, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from wam_ros.core.transforms import rigid
from wam_ros.foresight.alignment import Alignment

K = np.array([[70.0, 0, 39.5], [0, 70.0, 31.5], [0, 0, 1]])
DOWN = Rotation.from_euler("x", 180, degrees=True)
FAR_M = 2.0


def ground(T_base_camera: np.ndarray) -> np.ndarray:
    """(64, 80) distance along the optical axis to the plane z = 0."""
    rows, columns = np.mgrid[:64, :80]
    rays = np.stack(((columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1], np.ones(rows.shape)), axis=-1)
    return -T_base_camera[2, 3] / (rays @ T_base_camera[2, :3])


def places(tilt_deg: float, height_m: float) -> dict[str, np.ndarray]:
    tilted = (Rotation.from_euler("y", tilt_deg, degrees=True) * DOWN).as_matrix()
    return {"head": rigid(DOWN.as_matrix(), [0, 0, 0.6]), "wrist": rigid(tilted, [0.03, -0.02, height_m])}


def figures(poses: dict[str, np.ndarray], scale: float = 1.0) -> dict[str, float]:
    alignment = Alignment(dict.fromkeys(poses, K), ["wrist"], FAR_M)
    depths = {name: ground(T) for name, T in poses.items()}
    alignment.add({"wrist": scale * depths["wrist"]}, poses, depths, poses)
    return alignment.figures()


@settings(max_examples=20)
@given(st.floats(-20, 20), st.floats(0.3, 0.6))
def test_one_plane_is_one_plane_only_where_the_cameras_are(tilt_deg: float, height_m: float) -> None:
    found = figures(places(tilt_deg, height_m))
    assert found["apart_mm"] < 1e-6
    assert 1 < found["apart_wrong_mm"] < 30  # 6 mm along the normal, and 1.2 degrees about each axis


def test_metres_that_are_none_show() -> None:
    assert figures(places(0, 0.4), scale=1.05)["apart_mm"] == pytest.approx(0.05 * 400, rel=0.1)


def test_what_is_too_far_to_be_known_is_no_surface() -> None:
    poses = places(0, 0.4)
    alignment = Alignment(dict.fromkeys(poses, K), ["wrist"], far_m=0.3)
    depths = {name: ground(T) for name, T in poses.items()}
    alignment.add(depths, poses, depths, poses)
    assert alignment.figures() == {}
