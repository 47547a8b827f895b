# SPDX-License-Identifier: Apache-2.0
"""The card of a checkpoint: everything that its weights do not say, and that must agree with robot and policy.

Nothing in a released weight file tells its noise schedule, prompt template, camera layout or normaliser; a
wrong guess moves the robot wrongly without an error. So a checkpoint is a folder of safetensors and this
card, and the policy node refuses to start when the card disagrees with the robot or the policy YAML.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from wam_ros.core.errors import ConfigError, ShapeError, mismatch
from wam_ros.core.policy import Mosaic, Policy
from wam_ros.core.robot import Robot
from wam_ros.core.types import FloatArray

FORMAT = 1


Bounds = tuple[float, ...] | tuple[tuple[float, ...], ...]
"""(A,) the same for all rows of a chunk, or (K, A) each row its own."""


@dataclass(frozen=True)
class Normaliser:
    """An affine map of each dimension to about -1..1, and back.

    Rows that are differences to the observed state begin small and grow: with one map for all, the first rows,
    which are the ones executed, would hardly count. So each row may have its own.

    Attributes:
        kind: what ``low`` and ``high`` were made from: z_score (mean - std, mean + std), min_max, or
            quantile (1 % and 99 %); the map is the same for all: low to -1, high to +1.
        low, high: (A,), or (K, A) row by row of a chunk, in the vector's own units.
        clamp: bound of the normalised value on the way in; 0 for none. The way back is never clamped.
    """

    kind: Literal["z_score", "min_max", "quantile"]
    low: Bounds
    high: Bounds
    clamp: float = 5.0

    def __post_init__(self) -> None:
        try:
            low, high = np.array(self.low, dtype=np.float64), np.array(self.high, dtype=np.float64)
        except ValueError as error:
            raise ConfigError("normaliser: expected rows of one length; recompute the statistics") from error
        if low.shape != high.shape:
            raise ConfigError(
                mismatch("normaliser: high", f"the shape of low, {low.shape}", high.shape, "give one per dimension")
            )
        if not (np.isfinite(low).all() and np.isfinite(high).all()) or self.clamp < 0:
            raise ConfigError("normaliser: low, high and clamp must be finite numbers; recompute the statistics")

    @property
    def shape(self) -> tuple[int, ...]:
        """(A,) or (K, A)."""
        return np.shape(self.low)

    def _centre_and_scale(self) -> tuple[FloatArray, FloatArray]:
        low, high = np.asarray(self.low), np.asarray(self.high)
        half = (high - low) / 2
        # A dimension that never moved carries nothing: it is centred, not blown up.
        return (low + high) / 2, np.where(half < 5e-5, 1.0, half)

    def forward(self, values: FloatArray) -> FloatArray:
        """Return normalised values (..., A), or (..., K, A) where each row has its own map."""
        self._check(values)
        centre, scale = self._centre_and_scale()
        out = (values - centre) / scale
        return np.clip(out, -self.clamp, self.clamp) if self.clamp else out

    def inverse(self, normalised: FloatArray) -> FloatArray:
        """Return values in the vector's own units, of the same shape."""
        self._check(normalised)
        centre, scale = self._centre_and_scale()
        return normalised * scale + centre

    def _check(self, values: FloatArray) -> None:
        if values.shape[-len(self.shape) :] != self.shape:
            raise ShapeError(
                mismatch("normaliser: last axes", self.shape, values.shape, "use the vector or chunk of the card")
            )


@dataclass(frozen=True)
class VectorLayout:
    """What the dimensions of a state or action vector mean.

    Attributes:
        kind: joint positions or tool poses (xyz [m], quaternion xyzw or axis-angle), each with the
            gripper's opening last; absolute, or relative to the observed state at the chunk's start.
            ``pose_scalar_first`` has the quaternion's w first; ``pose_steps`` are differences from row to row,
            of the opening too, beginning at the observed state.
        names: (A,) one for each dimension, in order; joint layouts use the robot's joint names.
    """

    kind: Literal[
        "joint_absolute", "joint_relative", "pose_absolute", "pose_relative", "pose_scalar_first", "pose_steps"
    ]
    names: tuple[str, ...]


@dataclass(frozen=True)
class DepthCoding:
    """How metres become the picture of -1..1 that a model of depth learns.

    Depth is inverse: 1 at ``near_m``, -1 at ``far_m`` and beyond, even in 1 / distance between.

    Attributes:
        near_m, far_m: bounds of the distance along the optical axis; what is unknown is 0 m.
    """

    near_m: float
    far_m: float

    def __post_init__(self) -> None:
        if not 0 < self.near_m < self.far_m < np.inf:
            raise ConfigError(mismatch("depth coding", "0 < near_m < far_m", (self.near_m, self.far_m), "swap them"))

    def forward(self, depth_m: FloatArray) -> FloatArray:
        """Return the picture of distances of any shape; where the distance is not known it is -1, as if far.

        Less than half of ``near_m`` is not known either: what was 0 comes back from a video as a few millimetres.
        """
        known = np.isfinite(depth_m) & (depth_m > self.near_m / 2)
        inverse = 1 / np.where(known, depth_m, self.far_m)
        picture = 2 * (inverse - 1 / self.far_m) / (1 / self.near_m - 1 / self.far_m) - 1
        return np.clip(picture, -1.0, 1.0)

    def inverse(self, picture: FloatArray) -> FloatArray:
        """Return distances [m], within near_m..far_m, of pictures of any shape."""
        share = (np.clip(picture, -1.0, 1.0) + 1) / 2
        distance: FloatArray = 1 / (1 / self.far_m + share * (1 / self.near_m - 1 / self.far_m))
        return distance


@dataclass(frozen=True)
class Card:
    """What the weights do not say.

    Attributes:
        family, variant, size: which classes and which parameters build the model.
        params: parameters that differ from the named size.
        target: what the action expert predicts: the velocity (noise - x0) or the clean sample.
        shift_video, shift_action, steps: noise schedule (sigma = s u / (1 + (s - 1) u)) and Euler steps.
        prompt_template: with ``{task}`` where the instruction goes.
        text_length, text_padding: tokens of the text, and what stands in the places after its end.
        mosaic: the image the model was trained on.
        state, action: vector layouts; ``state_normaliser`` and ``action_normaliser`` their maps.
        rate_hz, horizon, execute_rows: of its chunks.
        seed: the noise of every chunk is drawn anew from it, so that chunks agree with each other.
        prefix_rows: largest number of committed rows it was trained to continue; 0 if it was not.
        licence, source: of the weights; ``source_sha256`` of the file they were converted from,
            ``weights_sha256`` of the safetensors file beside this card.
        command: the exact command that made it.
        demonstration_jerk_rms: of the arms in the actions it was trained on [rad/s^3]; 0 where it is unknown.
    """

    format: int
    family: Literal["fastwam", "xwam"]
    variant: str
    size: str
    target: Literal["velocity", "x0"]
    shift_video: float
    shift_action: float
    steps: int
    prompt_template: str
    text_length: int
    text_padding: Literal["zero", "raw", "hashed"]
    mosaic: Mosaic
    state: VectorLayout
    action: VectorLayout
    state_normaliser: Normaliser
    action_normaliser: Normaliser
    rate_hz: float
    horizon: int
    execute_rows: int
    licence: str
    source: str
    weights_sha256: str
    seed: int = 0
    prefix_rows: int = 0
    source_sha256: str = ""
    command: str = ""
    demonstration_jerk_rms: float = 0.0
    params: dict[str, float | int | bool | str] = field(default_factory=dict)
    depth: DepthCoding | None = None

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ConfigError(
                mismatch("card format", FORMAT, self.format, "convert the checkpoint again with this version")
            )
        dimensions = (len(self.state.names),), (len(self.action.names),)
        for what, normaliser, shapes in (
            ("state", self.state_normaliser, (dimensions[0],)),
            ("action", self.action_normaliser, (dimensions[1], (self.horizon, *dimensions[1]))),
        ):
            if normaliser.shape not in shapes:
                expected = " or ".join(map(str, shapes))
                remedy = "use the statistics of this layout"
                raise ConfigError(mismatch(f"card: {what}_normaliser", expected, normaliser.shape, remedy))
        if "{task}" not in self.prompt_template:
            raise ConfigError(
                mismatch("card: prompt_template", "a text with {task}", repr(self.prompt_template), "add it")
            )


def check_card_fits(card: Card, policy: Policy, robot: Robot) -> None:
    """Refuse a checkpoint that was made for another robot, camera layout, rate or horizon.

    Raises:
        ConfigError: naming the first disagreement and its remedy.
    """
    pairs = (
        ("mosaic", card.mosaic, policy.mosaic),
        ("rate_hz", card.rate_hz, policy.rate_hz),
        ("horizon", card.horizon, policy.horizon),
    )
    for what, of_card, of_policy in pairs:
        if of_card != of_policy:
            raise ConfigError(
                mismatch(
                    f"policy {policy.name}: {what}", of_card, of_policy, "copy the value from the checkpoint's card"
                )
            )
    for what, layout in (("state", card.state), ("action", card.action)):
        if layout.kind.startswith("joint") and layout.names != robot.joint_names:
            raise ConfigError(
                mismatch(
                    f"checkpoint {what} for robot {robot.name}",
                    list(robot.joint_names),
                    list(layout.names),
                    "use a checkpoint trained for this robot",
                )
            )
