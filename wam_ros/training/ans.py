# SPDX-License-Identifier: Apache-2.0
"""Asynchronous noise sampling: pairs of flow times in which the video is never cleaner than the actions.

With probability p the actions are clean and the video is anywhere: imagining a given plan. Otherwise the actions are
anywhere and the video is between them and noise: denoising at two speeds. Both are shifted after they are coupled;
the shift is monotone, so the order stays. Ours alone: rows may begin as nothing but noise more often than that
(``noise_probability``), for policies of one step, which never see anything else.

Source: the X-WAM paper (equation of the joint distribution) and sharinka0715/X-WAM runners/xwam_runner.py.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from wam_ros.models.schedule import shifted

BETA = (1.5, 1.0)
"""Of b in t_O = t_a + (1 - t_a) b: the video is more often far behind than close."""


class Times(NamedTuple):
    """Sigmas of each sample (B,), and where the actions were given clean (B,) bool."""

    video: Tensor
    action: Tensor
    given: Tensor


def draw_times(
    count: int,
    shift: float,
    clean_action_probability: float,
    device: torch.device | str = "cpu",
    noise_probability: float = 0.0,
) -> Times:
    """Draw the flow times of a batch from the global generator.

    Args:
        count: samples (B).
        shift: s of the schedule.
        clean_action_probability: how often actions are given.
        device: of the times.
        noise_probability: how often actions are all noise, and so is the video then; a given one is given nonetheless.
    """
    free, action = torch.rand(2, count, device=device)
    if noise_probability:
        action = torch.where(torch.rand(count, device=device) < noise_probability, torch.ones_like(action), action)
    # The inverse of the cumulative distribution x^a of Beta(a, 1).
    b = torch.rand(count, device=device) ** (1 / BETA[0])
    given = torch.rand(count, device=device) < clean_action_probability
    action = torch.where(given, torch.zeros_like(action), action)
    video = torch.where(given, free, action + (1 - action) * b)
    return Times(shifted(video, shift), shifted(action, shift), given)
