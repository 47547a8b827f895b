# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms as (4, 4) matrices; ``T_a_b`` takes coordinates in b to coordinates in a.

``T_a_c = T_a_b @ T_b_c``. A twist is (6,): translation [m] first, then rotation vector [rad].
Rotations themselves are scipy's.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from wam_ros.core.types import FloatArray


def rigid(rotation: FloatArray, translation: FloatArray) -> FloatArray:
    """Return (4, 4) from a (3, 3) rotation and a (3,) translation [m]."""
    T = np.eye(4)
    T[:3, :3] = rotation
    T[:3, 3] = translation
    return T


def invert(T: FloatArray) -> FloatArray:
    """Return the inverse of one or many transforms, (..., 4, 4)."""
    R = np.swapaxes(T[..., :3, :3], -1, -2)
    out = np.zeros_like(T)
    out[..., :3, :3] = R
    out[..., :3, 3] = -np.einsum("...ij,...j->...i", R, T[..., :3, 3])
    out[..., 3, 3] = 1.0
    return out


def skew(v: FloatArray) -> FloatArray:
    """Return (..., 3, 3) with ``skew(v) @ w == cross(v, w)``."""
    v = np.asarray(v, dtype=np.float64)
    out = np.zeros((*v.shape[:-1], 3, 3))
    out[..., 0, 1], out[..., 0, 2] = -v[..., 2], v[..., 1]
    out[..., 1, 0], out[..., 1, 2] = v[..., 2], -v[..., 0]
    out[..., 2, 0], out[..., 2, 1] = -v[..., 1], v[..., 0]
    return out


def exp(twist: FloatArray) -> FloatArray:
    """Return the transform of a twist (6,): R = Exp(w), t = V(w) v."""
    v, w = np.asarray(twist[:3]), np.asarray(twist[3:])
    angle = float(np.linalg.norm(w))
    W = skew(w)
    if angle < 1e-8:
        V = np.eye(3) + W / 2
    else:
        V = np.eye(3) + (1 - np.cos(angle)) / angle**2 * W + (angle - np.sin(angle)) / angle**3 * W @ W
    return rigid(Rotation.from_rotvec(w).as_matrix(), V @ v)


def log(T: FloatArray) -> FloatArray:
    """Return the twist (6,) of a transform; the rotation angle lies in 0..pi."""
    w = Rotation.from_matrix(T[:3, :3]).as_rotvec()
    angle = float(np.linalg.norm(w))
    W = skew(w)
    if angle < 1e-8:
        V_inverse = np.eye(3) - W / 2
    else:
        half = angle / 2
        V_inverse = np.eye(3) - W / 2 + (1 - half / np.tan(half)) / angle**2 * W @ W
    return np.concatenate([V_inverse @ T[:3, 3], w])


def apply(T: FloatArray, points: FloatArray) -> FloatArray:
    """Return points (..., 3) in the frame that T leads to."""
    return points @ T[:3, :3].T + T[:3, 3]


def adjoint(T_a_b: FloatArray) -> FloatArray:
    """(6, 6) that takes a twist of b, on the right of a transform, to the twist of a that moves both alike."""
    R = T_a_b[:3, :3]
    out = np.zeros((6, 6))
    out[:3, :3] = out[3:, 3:] = R
    out[:3, 3:] = skew(T_a_b[:3, 3]) @ R
    return out


def rpy(R: FloatArray) -> FloatArray:
    """Return (3,) roll, pitch, yaw [rad] of a (3, 3) rotation, as a URDF has them; yaw is 0 where only their sum is known."""
    level = float(np.hypot(R[0, 0], R[1, 0]))
    pitch = np.arctan2(-R[2, 0], level)
    if level < 1e-8:
        return np.array([np.arctan2(-R[1, 2], R[1, 1]), pitch, 0.0])
    return np.array([np.arctan2(R[2, 1], R[2, 2]), pitch, np.arctan2(R[1, 0], R[0, 0])])
