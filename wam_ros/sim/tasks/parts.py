# SPDX-License-Identifier: Apache-2.0
"""MJCF of a table with a cloth, of a box with a lid and its earphone case, and of things that are in the way.

Everything that lies on the table moves freely: three slides and a ball joint, because it hangs on the robot's base frame.
Its shapes meet the table, each other, and every link of the arms.
"""

from __future__ import annotations

from collections.abc import Iterable

from wam_ros.core.packing import (
    CASE_HALF_M,
    HALF_X_M,
    HALF_Y_M,
    HANDLE_HALF_M,
    HANDLE_Y_M,
    HINGE_X_M,
    HINGE_Z_M,
    LID_OPEN_RAD,
    LID_THICK_M,
    TAB_FROM_M,
    TAB_HALF_Y_M,
    TAB_TO_M,
    THICK_M,
    WALL_M,
)
from wam_ros.sim.embodiment import FIRST_ARM, FURNITURE, WORKPIECE
from wam_ros.sim.tasks.layout import OTHER_HALF_Z_M

CLOTHS = ("checked", "striped", "dotted")
_CLOTH_RGB = (
    ("0.75 0.25 0.25", "0.92 0.88 0.80"),
    ("0.20 0.45 0.35", "0.80 0.85 0.60"),
    ("0.30 0.30 0.55", "0.75 0.55 0.75"),
)
_FREE = '<joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 1 0"/><joint type="slide" axis="0 0 1"/><joint type="ball"/>'
_CONTACT = 'condim="4" friction="0.9 0.01 0.001" solref="0.006 1"'
_WHITE, _GREY, _ORANGE, _RED = "0.93 0.93 0.95 1", "0.35 0.36 0.42 1", "0.85 0.55 0.2 1", "0.8 0.3 0.2 1"
_OTHER_RGBA = ("0.85 0.75 0.2 1", "0.3 0.6 0.35 1", "0.55 0.35 0.7 1")


def table_mjcf(near_x_m: float, depth_m: float, width_m: float, top_z_m: float, things: str) -> str:
    """Return the whole scene: a table, its cloth, and what lies on it."""
    x = near_x_m + depth_m / 2
    sheet = f"{depth_m / 2 - 0.02} {width_m / 2 - 0.1} 0.0005"
    assets = "".join(_cloth(name, *rgb) for name, rgb in zip(CLOTHS, _CLOTH_RGB, strict=True))
    return f"""<mujoco><compiler angle="radian"/><asset>{assets}</asset><worldbody>
      <geom name="table" type="box" size="{depth_m / 2} {width_m / 2} 0.015" pos="{x} 0 {top_z_m - 0.015}"
            rgba="0.72 0.60 0.46 1" contype="{FURNITURE}" conaffinity="0" friction="0.8 0.01 0.001" solref="0.01 1"/>
      <geom name="cloth" type="box" size="{sheet}" pos="{x} 0 {top_z_m}" rgba="0.55 0.62 0.66 1" contype="0"
            conaffinity="0" mass="0"/>
      {things}</worldbody></mujoco>"""


def pack_mjcf(n: int, arms: int) -> str:
    """Return the n-th box and its case, at the origin, for a robot with that many arms."""
    walls = (
        ((0, 0, THICK_M / 2), (HALF_X_M, HALF_Y_M, THICK_M / 2)),
        *(((s * (HALF_X_M - THICK_M / 2), 0, WALL_M / 2), (THICK_M / 2, HALF_Y_M, WALL_M / 2)) for s in (-1, 1)),
        *(((0, s * (HALF_Y_M - THICK_M / 2), WALL_M / 2), (HALF_X_M, THICK_M / 2, WALL_M / 2)) for s in (-1, 1)),
    )
    stem = HANDLE_Y_M - HALF_Y_M  # low, so that a finger has room between wall and handle
    tab = (TAB_TO_M - TAB_FROM_M) / 2
    half_lid = LID_THICK_M / 2
    shapes = "".join(_box(arms, at, half, 0.014, _WHITE) for at, half in walls)
    shapes += _box(arms, (0, HALF_Y_M + stem / 2, 0.006), (0.008, stem / 2, 0.004), 0.01, _ORANGE)
    shapes += _box(arms, (0, HANDLE_Y_M, HANDLE_HALF_M[2]), HANDLE_HALF_M, 0.02, _ORANGE)
    lid = _box(arms, (-HALF_X_M, 0, 0), (HALF_X_M, HALF_Y_M, half_lid), 0.02, _GREY)
    lid += _box(arms, (-(TAB_FROM_M + tab), 0, 0), (tab, TAB_HALF_Y_M, half_lid), 0.004, _RED)
    case = _box(arms, (0, 0, 0), CASE_HALF_M, 0.03, "0.97 0.97 0.97 1")
    seam = [half + 0.0002 for half in CASE_HALF_M[:2]]
    case += f'<geom type="box" size="{_row((*seam, 0.0006))}" pos="0 0 0.006" rgba="0.5 0.5 0.55 1" contype="0" conaffinity="0" mass="0"/>'
    return f"""<body name="box{n}">{_FREE}{shapes}
      <body name="lid{n}" pos="{HINGE_X_M} 0 {HINGE_Z_M}"><joint name="lid{n}" axis="0 1 0" range="0 {LID_OPEN_RAD}"
        limited="true" damping="0.004" frictionloss="0.012" armature="0.0002"/>{lid}</body></body>
      <body name="case{n}">{_FREE}{case}</body>"""


def distractor_mjcf(n: int, arms: int) -> str:
    """Return the n-th thing that has nothing to do with the task."""
    half_z, rgba = OTHER_HALF_Z_M[n % len(OTHER_HALF_Z_M)], _OTHER_RGBA[n % len(_OTHER_RGBA)]
    shape = f'type="cylinder" size="0.026 {half_z}"' if n % 2 == 0 else f'type="box" size="0.028 0.016 {half_z}"'
    return f'<body name="other{n}">{_FREE}<geom {shape} mass="0.12" rgba="{rgba}" {_met_by(arms)}/></body>'


def _box(arms: int, at: Iterable[float], half: Iterable[float], mass_kg: float, rgba: str) -> str:
    return f'<geom type="box" pos="{_row(at)}" size="{_row(half)}" mass="{mass_kg}" rgba="{rgba}" {_met_by(arms)}/>'


def _met_by(arms: int) -> str:
    everything = FURNITURE | WORKPIECE | ((FIRST_ARM << arms) - FIRST_ARM)
    return f'contype="{WORKPIECE}" conaffinity="{everything}" {_CONTACT}'


def _cloth(name: str, first: str, second: str) -> str:
    pattern = {"checked": "checker", "striped": "gradient", "dotted": "checker"}[name]
    return f"""<texture name="{name}" type="2d" builtin="{pattern}" rgb1="{first}" rgb2="{second}" width="64" height="64"/>
      <material name="{name}" texture="{name}" texuniform="true" texrepeat="12 12" specular="0" shininess="0"/>"""


def _row(values: Iterable[float]) -> str:
    return " ".join(f"{value:.6g}" for value in values)
