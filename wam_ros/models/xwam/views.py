# SPDX-License-Identifier: Apache-2.0
"""All views through a codec of single pictures, and depth as a picture of three equal channels."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wam_ros.models.latent import Codec, PixelCodec
from wam_ros.models.xwam.params import XWamParams


class ViewsCodec(Protocol):
    """What turns the pictures of all views into latents.

    Attributes:
        frames_per_latent: pictures behind each latent frame after the first.
    """

    frames_per_latent: int

    def encode_clip(self, clip: Tensor) -> Tensor:
        """Return latents (B, C, T, V, h, w) of clips (B, V, 3, F, H, W) in -1..1; one frame is a clip too."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Return pictures (B, V, 3, F, H, W) in -1..1 of latents (B, C, T, V, h, w)."""
        ...


class SharedCodec:
    """One codec for all views, which are one batch to it: the Wan2.2 VAE."""

    def __init__(self, codec: Codec) -> None:
        self._codec, self.frames_per_latent = codec, codec.frames_per_latent

    def encode_clip(self, clip: Tensor) -> Tensor:
        """See :class:`ViewsCodec`."""
        views = clip.flatten(0, 1)
        # One frame has a way of its own, two-dimensional and much cheaper.
        latents = self._codec.encode(views[:, :, 0]) if views.shape[2] == 1 else self._codec.encode_clip(views)
        return latents.unflatten(0, clip.shape[:2]).permute(0, 2, 3, 1, 4, 5)

    def decode(self, latents: Tensor) -> Tensor:
        """See :class:`ViewsCodec`."""
        views = latents.permute(0, 3, 1, 2, 4, 5)
        return self._codec.decode(views.flatten(0, 1)).unflatten(0, views.shape[:2])


class PixelViews(nn.Module):
    """Pixel blocks with a mean picture for each view."""

    frames_per_latent = 1

    def __init__(self, params: XWamParams) -> None:
        super().__init__()
        self.views = nn.ModuleList(PixelCodec(params.latent) for _ in range(params.views))

    def fit(self, pictures: Tensor) -> None:
        """Take mean pictures and deviations from pictures (N, V, 3, H, W) in -1..1."""
        for codec, of_view in zip(self._codecs, pictures.unbind(1), strict=True):
            codec.fit(of_view)

    def encode_clip(self, clip: Tensor) -> Tensor:
        """See :class:`ViewsCodec`."""
        return torch.stack([c.encode_clip(v) for c, v in zip(self._codecs, clip.unbind(1), strict=True)], dim=3)

    def decode(self, latents: Tensor) -> Tensor:
        """See :class:`ViewsCodec`."""
        return torch.stack([c.decode(v) for c, v in zip(self._codecs, latents.unbind(3), strict=True)], dim=1)

    @property
    def _codecs(self) -> list[PixelCodec]:
        return list(self.views)  # type: ignore[arg-type]


def to_views(pictures: Tensor, params: XWamParams) -> Tensor:
    """Return (B, V, 3, H, W) float32 in -1..1 of views (B, V, H', W', 3) uint8, cropped about the centre and resized.

    Bilinear without smoothing, to the released size of the crop and back (256 x 320 to 243 x 304).
    """
    size = params.latent.picture_height, params.latent.picture_width
    x = pictures.flatten(0, 1).permute(0, 3, 1, 2).float() / 127.5 - 1
    if tuple(x.shape[2:]) != size:
        x = F.interpolate(x, size, mode="bilinear", align_corners=False)
    if params.crop < 1:
        height, width = (int(params.crop * side) for side in size)
        top, left = (size[0] - height) // 2, (size[1] - width) // 2
        x = x[:, :, top : top + height, left : left + width]
        x = F.interpolate(x, size, mode="bilinear", align_corners=False)
    return x.unflatten(0, pictures.shape[:2])
