# SPDX-License-Identifier: Apache-2.0
"""From X-WAM's weights to a checkpoint folder that the policy node loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from wam_ros.core.card import FORMAT, Card, DepthCoding
from wam_ros.files.card import sha256_of, write_card
from wam_ros.models.xwam.checkpoint import Codecs, save_weights
from wam_ros.models.xwam.params import XWamParams
from wam_ros.training.data import Normalisers
from wam_ros.training.export import Provenance


def export_xwam(
    folder: Path,
    params: XWamParams,
    weights: Mapping[str, Tensor],
    codecs: Codecs | None,
    normalisers: Normalisers,
    provenance: Provenance,
    depth: DepthCoding | None,
    dtype: torch.dtype = torch.float16,
    source_sha256: str = "",
) -> Card:
    """Write weights and card of a model; returns the card.

    Args:
        codecs: of pixels, stored with the weights; None where a VAE does it.
        depth: what its depth pictures mean; None where nobody says.
    """
    file = save_weights(folder, weights, codecs, dtype)
    card = Card(
        format=FORMAT,
        family="xwam",
        variant="depth",
        target=params.target,
        shift_video=params.shift,
        shift_action=params.shift,
        steps=params.action_steps,
        text_length=params.text_length,
        text_padding="hashed" if params.latent.codec == "pixels" else "raw",
        state_normaliser=normalisers.state,
        action_normaliser=normalisers.action,
        rate_hz=params.rate_hz,
        horizon=params.horizon,
        weights_sha256=sha256_of(file),
        source_sha256=source_sha256,
        params={"video_steps": params.video_steps, "states": params.states, "crop": params.crop},
        depth=depth,
        **provenance.said(),
    )
    write_card(folder, card)
    return card
