# SPDX-License-Identifier: Apache-2.0
"""Closed-form hand-eye solutions of A X = X B: five ways to start, none of them good enough to stop at.

For robot poses A_i = T_base_tool and board poses B_i = T_cam_board, the product A_i X B_i is the same board
pose for every i, so for any two of them ``A = A_j^-1 A_i`` and ``B = B_j B_i^-1`` satisfy A X = X B with
X = T_tool_cam. A fixed camera with the board on the tool is the same with every A_i inverted: X = T_base_cam.

All five leave out the noise of robot and pixels; :mod:`wam_ros.core.handeye.solve` starts from them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

from wam_ros.core.errors import CalibrationError
from wam_ros.core.transforms import invert, rigid, skew
from wam_ros.core.types import FloatArray

Solver = Callable[[FloatArray, FloatArray], FloatArray]


def relative_motions(robot: FloatArray, board: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return A and B, (P, 4, 4) each, of all pairs i < j of poses (N, 4, 4)."""
    if len(robot) < 3 or len(robot) != len(board):
        raise CalibrationError(
            f"hand-eye: expected the same number of robot and board poses, at least 3, got {len(robot)} and {len(board)}; capture more"
        )
    i, j = np.triu_indices(len(robot), 1)
    return invert(robot[j]) @ robot[i], board[j] @ invert(board[i])


def _rotation_vectors(motions: FloatArray) -> FloatArray:
    vectors: FloatArray = Rotation.from_matrix(motions[:, :3, :3]).as_rotvec()
    return vectors


def _translation(A: FloatArray, B: FloatArray, R: FloatArray) -> FloatArray:
    """Least-squares t of (R_A - I) t = R t_B - t_A."""
    left = (A[:, :3, :3] - np.eye(3)).reshape(-1, 3)
    right = (B[:, :3, 3] @ R.T - A[:, :3, 3]).reshape(-1)
    found: FloatArray = np.asarray(np.linalg.lstsq(left, right, rcond=None)[0], dtype=np.float64)
    return found


def tsai(A: FloatArray, B: FloatArray) -> FloatArray:
    """Tsai and Lenz 1989: modified Rodrigues vectors, then translation."""
    a, b = (_modified_rodrigues(_rotation_vectors(m)) for m in (A, B))
    p = np.linalg.lstsq(skew(a + b).reshape(-1, 3), (b - a).reshape(-1), rcond=None)[0]
    p = 2 * p / np.sqrt(1 + p @ p)
    R = (1 - p @ p / 2) * np.eye(3) + 0.5 * (np.outer(p, p) + np.sqrt(4 - p @ p) * skew(p))
    return rigid(R, _translation(A, B, R))


def _modified_rodrigues(w: FloatArray) -> FloatArray:
    """2 sin(angle / 2) times the axis."""
    angle = np.linalg.norm(w, axis=1, keepdims=True)
    scaled: FloatArray = w * np.sinc(angle / (2 * np.pi))
    return scaled


def park(A: FloatArray, B: FloatArray) -> FloatArray:
    """Park and Martin 1994: rotation vectors aligned in the least-squares sense, then translation."""
    R = Rotation.align_vectors(_rotation_vectors(A), _rotation_vectors(B))[0].as_matrix()
    return rigid(R, _translation(A, B, R))


def horaud(A: FloatArray, B: FloatArray) -> FloatArray:
    """Horaud and Dornaika 1995: rotation axes as quaternions, smallest eigenvector, then translation."""
    axes = []
    for motions in (A, B):
        w = _rotation_vectors(motions)
        axes.append(w / np.maximum(np.linalg.norm(w, axis=1, keepdims=True), 1e-12))
    total = np.zeros((4, 4))
    for a, b in zip(*axes, strict=True):
        S = _left(a) - _right(b)
        total += S.T @ S
    q = np.linalg.eigh(total)[1][:, 0]
    R = Rotation.from_quat(np.roll(q, -1)).as_matrix()
    return rigid(R, _translation(A, B, R))


def _left(v: FloatArray) -> FloatArray:
    """Matrix of q -> v q for a pure quaternion v; q is w x y z."""
    M = np.zeros((4, 4))
    M[0, 1:], M[1:, 0], M[1:, 1:] = -v, v, skew(v)
    return M


def _right(v: FloatArray) -> FloatArray:
    """Matrix of q -> q v for a pure quaternion v."""
    M = np.zeros((4, 4))
    M[0, 1:], M[1:, 0], M[1:, 1:] = -v, v, -skew(v)
    return M


def daniilidis(A: FloatArray, B: FloatArray) -> FloatArray:
    """Daniilidis 1999: rotation and translation at once from dual quaternions."""
    rows = []
    for Ai, Bi in zip(A, B, strict=True):
        (a, da), (b, db) = _dual_vector(Ai), _dual_vector(Bi)
        top = np.hstack([(a - b)[:, None], skew(a + b), np.zeros((3, 4))])
        rows += [top, np.hstack([(da - db)[:, None], skew(da + db), (a - b)[:, None], skew(a + b)])]
    v1, v2 = np.linalg.svd(np.vstack(rows))[2][-2:]
    u1, w1, u2, w2 = v1[:4], v1[4:], v2[:4], v2[4:]
    a, b, c = u1 @ w1, u1 @ w2 + u2 @ w1, u2 @ w2
    ratios = np.roots([a, b, c]) if abs(a) > 1e-15 else np.array([-c / b if b else 0.0])
    norms = [(s.real**2 * (u1 @ u1) + 2 * s.real * (u1 @ u2) + u2 @ u2, s.real) for s in ratios]
    norm, s = max(norms)
    scale = 1 / np.sqrt(norm)
    q, dq = scale * (s * u1 + u2), scale * (s * w1 + w2)
    R = Rotation.from_quat(np.roll(q, -1)).as_matrix()
    t = 2 * (q[0] * dq[1:] - dq[0] * q[1:] - np.cross(dq[1:], q[1:]))
    return rigid(R, t)


def _dual_vector(T: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Vector parts of real and dual quaternion of a motion, with a positive scalar part."""
    q = np.roll(Rotation.from_matrix(T[:3, :3]).as_quat(), 1)
    q = q if q[0] >= 0 else -q
    t = T[:3, 3]
    return q[1:], 0.5 * (q[0] * t + np.cross(t, q[1:]))


def andreff(A: FloatArray, B: FloatArray) -> FloatArray:
    """Andreff, Horaud and Espiau 1999: one linear system in rotation matrix and translation."""
    rows, right = [], []
    for Ai, Bi in zip(A, B, strict=True):
        RA, RB = Ai[:3, :3], Bi[:3, :3]
        rows.append(np.hstack([np.eye(9) - np.kron(RA, RB), np.zeros((9, 3))]))
        rows.append(np.hstack([np.kron(np.eye(3), Bi[:3, 3][None]), np.eye(3) - RA]))
        right += [np.zeros(9), Ai[:3, 3]]
    # The rotation's scale is free in the homogeneous part: the translations fix it.
    solution = np.linalg.lstsq(np.vstack(rows), np.concatenate(right), rcond=None)[0]
    U, _, Vt = np.linalg.svd(solution[:9].reshape(3, 3))
    R = U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt
    return rigid(R, _translation(A, B, R))


SOLVERS: dict[str, Solver] = {
    "tsai": tsai,
    "park": park,
    "horaud": horaud,
    "daniilidis": daniilidis,
    "andreff": andreff,
}
