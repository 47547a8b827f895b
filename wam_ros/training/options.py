# SPDX-License-Identifier: Apache-2.0
"""What may be chosen about a training run; the defaults are those of the tiny model on two CPU cores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wam_ros.core.errors import ConfigError, mismatch


@dataclass(frozen=True)
class TrainOptions:
    """A training run; its length is in steps, so that a loaded machine makes the same model.

    Attributes:
        steps: of the optimiser.
        batch_size: samples of one step and process (B).
        learning_rate: the highest; cosine to ``final_share`` of it after ``warmup_steps``.
        weight_decay, clip_norm: of the optimiser, and gradient clipping.
        optimiser: ``muon`` is for matrices inside the blocks, with AdamW for the rest (``optimisers.py``).
        ema: decay of the averaged weights, which are the ones that are kept.
        precision: of the forward pass; weights stay float32.
        compile: let torch.compile fuse the loss: minutes to begin with, then a fifth faster on two CPU cores.
        checkpoint_every, log_every: steps.
        seed: of data order and noise.
    """

    steps: int
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    final_share: float = 0.01
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    optimiser: Literal["adamw", "muon"] = "adamw"
    ema: float = 0.995
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    checkpoint_every: int = 500
    log_every: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1:
            raise ConfigError(
                mismatch("training", "steps >= 1 and batch_size >= 1", (self.steps, self.batch_size), "raise them")
            )
        if not 0 <= self.ema < 1:
            raise ConfigError(mismatch("training: ema", "0 <= ema < 1", self.ema, "0.995 is usual"))
