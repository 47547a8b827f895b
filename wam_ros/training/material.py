# SPDX-License-Identifier: Apache-2.0
"""What a model is trained on, and what its card will say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wam_ros.core.card import VectorLayout
from wam_ros.core.policy import Cell, Mosaic
from wam_ros.models.params import FastWamParams
from wam_ros.training.data import Episode
from wam_ros.training.looks import AS_RECORDED, Looks
from wam_ros.training.synthetic import reach_episodes


@dataclass(frozen=True)
class Material:
    """Episodes, and how their vectors and pictures are meant.

    Attributes:
        state, action: layouts of its vectors.
        relative: (A,) where a row is the difference to the observed state; () for nowhere.
        mosaic: of the frames.
        source: in words, for the card.
        jerk_rms: of the arms in the actions [rad/s^3]; 0 where that means nothing.
        state_noise: standard deviation of what is added to the normalised state.
        looks: how much views look other than recorded.
        turns: how often windows are drawn that begin right after an error; others once.
    """

    episodes: Sequence[Episode]
    state: VectorLayout
    action: VectorLayout
    mosaic: Mosaic
    source: str
    state_noise: float = 0.0
    jerk_rms: float = 0.0
    relative: tuple[bool, ...] = ()
    looks: Looks = AS_RECORDED
    turns: int = 1


@dataclass(frozen=True)
class SyntheticData:
    """The synthetic set of :mod:`wam_ros.training.synthetic`: so many episodes of so many frames."""

    episodes: int
    length: int = 24
    seed: int = 0

    def material(self, params: FastWamParams, name: str) -> Material:
        """Make it."""
        episodes = reach_episodes(params, self.episodes, self.seed, self.length)
        layout = VectorLayout("joint_absolute", tuple(f"x{i}" for i in range(params.action_dim)))
        height, width = params.latent.picture_height, params.latent.picture_width
        mosaic = Mosaic(height, width, (Cell("picture", 0, 0, height, width),))
        return Material(episodes, layout, layout, mosaic, f"synthetic set, {name}")
