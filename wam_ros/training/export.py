# SPDX-License-Identifier: Apache-2.0
"""From a trained model to a checkpoint folder that the policy node loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wam_ros.core.card import FORMAT, Card, VectorLayout
from wam_ros.core.policy import Mosaic
from wam_ros.files.card import sha256_of, write_card
from wam_ros.models.checkpoint import save_weights, with_changes
from wam_ros.models.latent import Codec
from wam_ros.models.params import FastWamParams
from wam_ros.training.data import Normalisers


@dataclass(frozen=True)
class Provenance:
    """Where a checkpoint comes from, and how its vectors and pictures are meant.

    Attributes:
        size: the named size whose parameters the model has, but for the fields of the card.
        state, action: layouts of its vectors.
        mosaic: the image that the policy node stitches for it.
        prompt_template, execute_rows, licence, source, command, prefix_rows, seed, demonstration_jerk_rms: see
            :class:`Card`.
    """

    size: str
    state: VectorLayout
    action: VectorLayout
    mosaic: Mosaic
    prompt_template: str
    execute_rows: int
    licence: str
    source: str
    command: str = ""
    prefix_rows: int = 0
    seed: int = 0
    demonstration_jerk_rms: float = 0.0

    def said(self) -> dict[str, Any]:
        """Return these as fields of a card."""
        return dict(vars(self))


def export(
    folder: Path,
    params: FastWamParams,
    weights: Mapping[str, Tensor],
    codec: Codec,
    normalisers: Normalisers,
    provenance: Provenance,
    dtype: torch.dtype = torch.float16,
) -> Card:
    """Write weights and card of a model; returns the card."""
    file = save_weights(folder, weights, codec, dtype)
    card = Card(
        format=FORMAT,
        family="fastwam",
        variant=params.variant,
        target=params.target,
        shift_video=params.shift_video,
        shift_action=params.shift_action,
        steps=params.steps,
        text_length=params.text_length,
        text_padding="hashed" if params.latent.codec == "pixels" else "zero",
        state_normaliser=normalisers.state,
        action_normaliser=normalisers.action,
        rate_hz=params.rate_hz,
        horizon=params.horizon,
        weights_sha256=sha256_of(file),
        params=with_changes(params),
        **provenance.said(),
    )
    write_card(folder, card)
    return card


def with_source(card: Card, folder: Path, source_sha256: str) -> Card:
    """Add the hash of the file that was converted, and write the card again."""
    marked = replace(card, source_sha256=source_sha256)
    write_card(folder, marked)
    return marked
