# SPDX-License-Identifier: Apache-2.0
"""From imagined latents to pictures and metres."""

from __future__ import annotations

import numpy as np
import torch

from wam_ros.core.card import Card
from wam_ros.core.imagination import Imagination
from wam_ros.core.types import DepthImage, FloatArray, nanoseconds
from wam_ros.models.xwam.checkpoint import Codecs
from wam_ros.models.xwam.params import XWamParams
from wam_ros.models.xwam.sampling import Imagined


class Painter:
    """Decodes what a model of a card has imagined; each clip begins with what was observed."""

    def __init__(self, card: Card, params: XWamParams, codecs: Codecs) -> None:
        self._card, self._params, self._codecs = card, params, codecs
        self._cameras = tuple(cell.camera for cell in card.mosaic.cells)

    @torch.no_grad()
    def paint(self, stamp_ns: int, path: FloatArray, observed: torch.Tensor, imagined: Imagined) -> Imagination:
        """Return the pictures.

        Args:
            stamp_ns: of the observation.
            path: (1 + K, J) joints at it and at each row of the plan that is imagined.
            observed: (1, C, 1, V, h, w), its latent, with which the clip begins.
            imagined: from the sampler, batch of one.
        """
        latents = torch.cat((observed, imagined.video), dim=2)
        clip = self._codecs.pictures.decode(latents)[0].movedim(1, -1)
        colors = ((clip + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        frames, horizon = colors.shape[1], self._params.horizon
        rows = [horizon * frame // (frames - 1) for frame in range(frames)]
        return Imagination(
            stamp_ns, self._offsets(frames), dict(zip(self._cameras, colors, strict=True)), self._metres(imagined),
            path[rows],
        )  # fmt: skip

    def _metres(self, imagined: Imagined) -> dict[str, DepthImage] | None:
        if imagined.depth is None or self._card.depth is None:
            return None
        # Three equal channels when it was learnt: their mean is the one picture that is meant.
        picture = self._codecs.depth.decode(imagined.depth)[0].mean(1).double().cpu().numpy()
        depths = self._card.depth.inverse(picture).astype(np.float32)
        return dict(zip(self._cameras, depths, strict=True))

    def _offsets(self, frames: int) -> tuple[int, ...]:
        span_s = self._params.horizon / self._params.rate_hz
        return tuple(nanoseconds(span_s * j / (frames - 1)) for j in range(frames))
