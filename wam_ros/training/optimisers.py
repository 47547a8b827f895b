# SPDX-License-Identifier: Apache-2.0
"""Who changes the weights: AdamW alone, or Muon for the matrices inside transformer blocks and AdamW for the rest.

Muon moves all directions of a matrix alike instead of mostly the strongest ones. On two CPU cores it has learnt
in 250 steps what takes AdamW 400; a step of the tiny models is then a fifth dearer (docs/training.md).

Source: Muon, Jordan et al. 2024; rates as of AdamW, Liu et al. 2025 (arXiv 2502.16982); both in torch.optim.
"""

from __future__ import annotations

from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from wam_ros.training.options import TrainOptions


def optimisers(model: nn.Module, options: TrainOptions) -> list[Optimizer]:
    """Return the optimisers of a model; together they hold each of its parameters once."""
    inner = matrices(model) if options.optimiser == "muon" else []
    held = {id(matrix) for matrix in inner}
    others = [p for p in model.parameters() if id(p) not in held]
    rate, decay = options.learning_rate, options.weight_decay
    found: list[Optimizer] = [AdamW(others, rate, betas=(0.9, 0.95), weight_decay=decay, fused=True)]
    if inner:
        # The same rate serves both: the step of a matrix is brought to the size that AdamW's has.
        found.append(Muon(inner, rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    return found


def matrices(model: nn.Module) -> list[nn.Parameter]:
    """Return the matrices inside transformer blocks; what enters and leaves a model is not Muon's."""
    return [p for name, p in model.named_parameters() if p.ndim == 2 and "blocks." in name]
