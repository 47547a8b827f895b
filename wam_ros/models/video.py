# SPDX-License-Identifier: Apache-2.0
"""The video expert: latent frames in, predicted latent frames out.

At full size it is the Wan2.2-TI2V-5B transformer, parameter by parameter. With a stem (tiny size) the tokens
of the first frame also receive a convolution of the picture itself and every token a learned place.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wam_ros.models.block import Expert
from wam_ros.models.params import DiTParams, LatentParams
from wam_ros.models.rope import Rotation, video_rotation


class Head(nn.Module):
    """Modulated output layer: LayerNorm, shift and scale from the flow time, one matrix."""

    def __init__(self, hidden: int, out: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden, eps=eps, elementwise_affine=False)
        self.head = nn.Linear(hidden, out)
        self.modulation = nn.Parameter(torch.randn(1, 2, hidden) / math.sqrt(hidden))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return (B, N, out) of tokens (B, N, D) whose flow time is embedded as ``FlowTime.vector``."""
        shift, scale = (self.modulation[:, None] + time[:, :, None]).unbind(2)
        return self.head(self.norm(x) * (1 + scale) + shift)


class VideoExpert(Expert):
    """Latent video (B, C, T, h, w) to tokens (B, N, D) and back."""

    def __init__(self, params: DiTParams, latent: LatentParams) -> None:
        super().__init__(params)
        self.latent = latent
        self.patch_embedding = nn.Conv3d(latent.channels, params.hidden, latent.patch, stride=latent.patch)
        self.head = Head(params.hidden, latent.values_per_token, params.eps)
        if latent.stem:
            self.stem = _stem((3, *latent.stem, params.hidden))
            self.position = nn.Parameter(torch.randn(1, latent.tokens_per_frame, params.hidden) * 0.02)

    def embed_first(self, latent: Tensor, picture: Tensor) -> Tensor:
        """Return the tokens (B, n, D) of the observed frame.

        Args:
            latent: (B, C, 1, h, w), normalised.
            picture: (B, 3, H, W) in -1..1; only a stem looks at it.
        """
        x = self._embed(latent)
        if self.latent.stem:
            x = x + self.stem(picture.to(self.dtype)).flatten(2).transpose(1, 2) + self.position
        return x

    def embed_future(self, latent: Tensor) -> Tensor:
        """Return the tokens (B, (T-1) n, D) of later frames (B, C, T-1, h, w)."""
        x = self._embed(latent)
        return x + self.position.repeat(1, latent.shape[2], 1) if self.latent.stem else x

    def _embed(self, latent: Tensor) -> Tensor:
        # A convolution whose stride is its kernel is a matrix product on patches, and faster as one.
        (pt, ph, pw), (b, c, t, h, w) = self.latent.patch, latent.shape
        patches = latent.reshape(b, c, t // pt, pt, h // ph, ph, w // pw, pw).permute(0, 2, 4, 6, 1, 3, 5, 7)
        tokens = patches.reshape(b, -1, c * pt * ph * pw).to(self.dtype)
        return F.linear(tokens, self.patch_embedding.weight.flatten(1), self.patch_embedding.bias)

    def unembed(self, x: Tensor, time: Tensor) -> Tensor:
        """Return the predicted frames (B, C, T, h, w) of tokens (B, T n, D) and their ``FlowTime.vector``."""
        (pt, ph, pw), (rows, columns) = self.latent.patch, self.latent.grid
        values = self.head(x, time).unflatten(-1, (pt, ph, pw, self.latent.channels))
        frames = values.unflatten(1, (-1, rows, columns)).permute(0, 7, 1, 4, 2, 5, 3, 6)
        return frames.reshape(x.shape[0], self.latent.channels, -1, rows * ph, columns * pw)

    def rotation(self, first: int, count: int) -> Rotation:
        """Return the rotation of ``count`` latent frames from frame ``first`` on."""
        frames = torch.arange(first, first + count, device=self.patch_embedding.weight.device)
        return video_rotation(frames, *self.latent.grid, self.params.head_dim)


def _stem(channels: tuple[int, ...]) -> nn.Sequential:
    """Return convolutions that halve the picture once for each step of ``channels``."""
    layers: list[nn.Module] = []
    for a, b in zip(channels, channels[1:], strict=False):
        layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GELU(approximate="tanh")]
    return nn.Sequential(*layers[:-1])
