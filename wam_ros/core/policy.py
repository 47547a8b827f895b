# SPDX-License-Identifier: Apache-2.0
"""What a policy YAML says: backend, checkpoint, how views are stitched, rate and horizon."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.robot import Robot

ResizeMethod = Literal["bilinear_antialias", "bilinear", "area"]
Option = float | int | bool | str


@dataclass(frozen=True)
class Cell:
    """Where one camera's view lies in the mosaic [pixels]."""

    camera: str
    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Mosaic:
    """One image made of all views, as the model was trained on it.

    Attributes:
        height, width: size of the mosaic [pixels].
        cells: one per view; disjoint, inside the mosaic.
        resize: how a camera's image is brought to its cell; must be the training's method.
    """

    height: int
    width: int
    cells: tuple[Cell, ...]
    resize: ResizeMethod = "bilinear_antialias"

    def __post_init__(self) -> None:
        taken: list[Cell] = []
        for cell in self.cells:
            inside = (
                cell.top >= 0
                and cell.left >= 0
                and cell.top + cell.height <= self.height
                and cell.left + cell.width <= self.width
            )
            if not inside or cell.height <= 0 or cell.width <= 0:
                raise ConfigError(
                    f"mosaic: cell of camera {cell.camera} does not lie inside {self.height}x{self.width}; move or shrink it"
                )
            for other in taken:
                apart = (
                    cell.top + cell.height <= other.top
                    or other.top + other.height <= cell.top
                    or cell.left + cell.width <= other.left
                    or other.left + other.width <= cell.left
                )
                if not apart:
                    raise ConfigError(
                        f"mosaic: cells of cameras {other.camera} and {cell.camera} overlap; move one of them"
                    )
            taken.append(cell)


@dataclass(frozen=True)
class Policy:
    """Everything the package knows about one policy.

    Attributes:
        backend: name in the entry-point group ``wam_ros.backends``, or ``module:Class``.
        checkpoint: folder of a converted checkpoint; empty for backends without weights.
        rate_hz: rows per second of its chunks.
        horizon: rows of a chunk (K).
        execute_rows: rows after which the next inference starts.
        needs_truth: a demonstrator that reads the simulator's state; refused on real robots.
        options: the backend's own settings.
    """

    name: str
    description: str
    backend: str
    rate_hz: float
    horizon: int
    execute_rows: int
    mosaic: Mosaic
    checkpoint: str = ""
    needs_truth: bool = False
    seed: int = 0
    options: dict[str, Option] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.execute_rows <= self.horizon:
            raise ConfigError(
                mismatch("execute_rows", f"1..{self.horizon}", self.execute_rows, "choose at most the horizon")
            )
        if self.rate_hz <= 0:
            raise ConfigError(mismatch("rate_hz", "> 0", self.rate_hz, "give the rate of the training data"))


def check_policy_fits(policy: Policy, robot: Robot, *, with_truth: bool | None = None) -> None:
    """Refuse a policy whose views or needs the robot cannot serve.

    Args:
        policy, robot: to be held against each other.
        with_truth: whether a simulator tells its truth; None: where the robot is one.

    Raises:
        ConfigError: naming what is missing.
    """
    for cell in policy.mosaic.cells:
        robot.camera(cell.camera)
    if policy.needs_truth and not (robot.simulated if with_truth is None else with_truth):
        raise ConfigError(
            f"policy {policy.name} reads the simulator's truth and robot {robot.name} is not simulated; "
            "choose another policy, or run it against the robot's double (--double)"
        )
