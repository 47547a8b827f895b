# SPDX-License-Identifier: Apache-2.0
"""How much the twin differs from one attempt to the next: pose, colours, light, cameras, friction.

What is drawn for a seed is always the same; the pose does not depend on whether the rest is drawn too.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, fields

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.types import FloatArray

_STREAM = 1  # of the random numbers of a seed; 0 is the workpiece's pose


@dataclass(frozen=True)
class Randomisation:
    """Half ranges around the nominal twin; all zero is the nominal twin, with the task's own range of poses.

    Attributes:
        wider_poses: share by which the workpiece's range of poses is wider than the task's.
        hue: how much of the workpiece's colour is replaced by any other, 0..1.
        tint: of furniture and floor, relative, each colour channel for itself.
        brightness: of all lights, relative.
        lamp_rad: by how much the lamp's direction turns.
        camera_m, camera_rad: by how much each camera is displaced and turned on its mount.
        friction: of all contacts, relative.
    """

    wider_poses: float = 0.0
    hue: float = 1.0
    tint: float = 0.2
    brightness: float = 0.25
    lamp_rad: float = 0.4
    camera_m: float = 0.004
    camera_rad: float = 0.015
    friction: float = 0.3

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 1:
                raise ConfigError(mismatch(f"randomisation: {field.name}", "0 to 1", value, "choose a smaller range"))


NOMINAL = Randomisation(0, 0, 0, 0, 0, 0, 0, 0)
#: For tests of a policy, and wider for the demonstrations that it learns from.
VARIED = Randomisation()
VARIED_WIDER = Randomisation(0.2, 1.0, 0.25, 0.3, 0.5, 0.005, 0.02, 0.4)
NOMINAL_WIDER = Randomisation(0.2, 0, 0, 0, 0, 0, 0, 0)


class Variation:
    """A compiled model whose look and friction can be drawn, and brought back.

    Args:
        model: nominal, as it was compiled.
        cameras: names of those that are displaced.
        furniture: names of the shapes that are tinted.
    """

    def __init__(self, model: mujoco.MjModel, cameras: tuple[str, ...], furniture: tuple[str, ...]) -> None:
        self._model = model
        self._cameras = [model.camera(name).id for name in cameras]
        self._furniture = [model.geom(name).id for name in furniture]
        self._arrays = {
            "cloth": model.flex_rgba,
            "shapes": model.geom_rgba,
            "lamps": model.light_diffuse,
            "directions": model.light_dir,
            "ambient": model.vis.headlight.ambient,
            "diffuse": model.vis.headlight.diffuse,
            "camera_pos": model.cam_pos,
            "camera_quat": model.cam_quat,
            "geom_friction": model.geom_friction,
            "flex_friction": model.flex_friction,
        }
        self._nominal = {name: np.array(array) for name, array in self._arrays.items()}

    def draw(self, seed: int, how: Randomisation) -> None:
        """Bring the model to what a seed gives."""
        for name, array in self._arrays.items():
            array[:] = self._nominal[name]
        if how != NOMINAL:
            rng = np.random.default_rng((seed, _STREAM))
            self._colour(rng, how)
            self._light(rng, how)
            self._displace_cameras(rng, how)
            share = 1 + how.friction * rng.uniform(-1, 1)
            self._arrays["geom_friction"][:, 0] *= share
            self._arrays["flex_friction"][:, 0] *= share

    def _colour(self, rng: np.random.Generator, how: Randomisation) -> None:
        drawn = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.35, 0.9), rng.uniform(0.45, 0.95))
        cloth = self._arrays["cloth"]
        cloth[:, :3] += how.hue * rng.uniform() * (np.array(drawn) - cloth[:, :3])
        tints = 1 + how.tint * rng.uniform(-1, 1, (len(self._furniture), 3))
        shapes = self._arrays["shapes"]
        shapes[self._furniture, :3] = np.clip(shapes[self._furniture, :3] * tints, 0, 1)

    def _light(self, rng: np.random.Generator, how: Randomisation) -> None:
        for name in ("lamps", "ambient", "diffuse"):
            self._arrays[name][:] *= 1 + how.brightness * rng.uniform(-1, 1)
        directions = self._arrays["directions"]
        directions[:] = directions @ _turn(rng, how.lamp_rad).as_matrix().T

    def _displace_cameras(self, rng: np.random.Generator, how: Randomisation) -> None:
        for camera in self._cameras:
            self._arrays["camera_pos"][camera] += how.camera_m * rng.uniform(-1, 1, 3)
            quat: FloatArray = self._arrays["camera_quat"][camera]
            turned = Rotation.from_quat(quat, scalar_first=True) * _turn(rng, how.camera_rad)
            quat[:] = turned.as_quat(scalar_first=True)


def _turn(rng: np.random.Generator, most_rad: float) -> Rotation:
    """Return a turn about any axis by at most an angle."""
    axis = rng.normal(size=3)
    return Rotation.from_rotvec(most_rad * rng.uniform() * axis / np.linalg.norm(axis))
