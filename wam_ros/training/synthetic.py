# SPDX-License-Identifier: Apache-2.0
"""A synthetic set whose pictures tell where to go: the smallest thing that a Fast-WAM must be able to learn.

A square stands somewhere in the picture; a disc starts elsewhere and moves to it. The state is the disc's
position, the action the position it is sent to. Only the picture tells the goal.
"""

from __future__ import annotations

import numpy as np

from wam_ros.models.params import FastWamParams
from wam_ros.models.xwam.params import XWamParams
from wam_ros.training.data import Episode

PROMPT = "Move the disc to the square."


def reach_episodes(params: FastWamParams | XWamParams, count: int, seed: int = 0, length: int = 24) -> list[Episode]:
    """Return episodes of a disc that moves to a square; state and action are padded to the model's sizes."""
    rng = np.random.default_rng(seed)
    return [_episode(params, rng, length) for _ in range(count)]


def _episode(params: FastWamParams | XWamParams, rng: np.random.Generator, length: int) -> Episode:
    height, width = params.latent.picture_height, params.latent.picture_width
    start, goal = rng.uniform(0.15, 0.85, (2, 2))
    phase = np.clip(np.arange(length + 1) / (0.7 * length), 0, 1)[:, None]
    path = start + (3 * phase**2 - 2 * phase**3) * (goal - start)
    y, x = np.mgrid[0:height, 0:width]
    scale = np.array([width, height])
    frames = np.full((length, height, width, 3), 40, dtype=np.uint8)
    square = np.maximum(abs(x - goal[0] * width), abs(y - goal[1] * height)) < 0.08 * height
    frames[:, square] = (40, 160, 80)
    for frame, point in zip(frames, path[:-1] * scale, strict=True):
        frame[np.hypot(x - point[0], y - point[1]) < 0.06 * height] = (220, 90, 40)
    states = np.zeros((length, params.proprio_dim))
    actions = np.zeros((length, params.action_dim))
    states[:, :2], actions[:, :2] = path[:-1], path[1:]
    return Episode(frames, states, actions, PROMPT)
