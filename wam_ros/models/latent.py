# SPDX-License-Identifier: Apache-2.0
"""Pictures to normalised latents and back: the Wan2.2 VAE through diffusers, or blocks of pixels.

Both codecs encode one frame for inference and a clip for training. The VAE is causal in time, so the first
latent of a clip is the latent of its first frame alone; a policy never encodes more than one frame.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wam_ros.core.errors import ConfigError, MissingDependencyError, ShapeError, mismatch
from wam_ros.models.params import LatentParams

WAN_VAE = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": 48,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "temperal_downsample": [False, True, True],
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
    "latents_mean": [0.0] * 48,
    "latents_std": [1.0] * 48,
}
"""Shape of the Wan2.2 VAE (16 x 16 pixels and 4 frames a latent, 48 channels), for random weights."""


class Codec(Protocol):
    """What turns pictures into latents.

    Attributes:
        frames_per_latent: pictures behind each latent frame after the first.
    """

    frames_per_latent: int

    def encode(self, picture: Tensor) -> Tensor:
        """Return the latent (B, C, 1, h, w) of pictures (B, 3, H, W) in -1..1."""
        ...

    def encode_clip(self, clip: Tensor) -> Tensor:
        """Return latents (B, C, T, h, w) of clips (B, 3, 1 + (T-1) frames_per_latent, H, W)."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Return pictures (B, 3, 1 + (T-1) frames_per_latent, H, W) in -1..1 of latents (B, C, T, h, w)."""
        ...


def to_picture(mosaic: Tensor, height: int, width: int) -> Tensor:
    """Return pictures (B, 3, height, width) float32 in -1..1 of mosaics (B, H, W, 3) uint8.

    A larger mosaic is averaged over whole blocks of pixels, so that it is seen as it was in training whatever
    the resize library.

    Raises:
        ShapeError: if the mosaic is no whole multiple of the picture.
    """
    rows, columns = mosaic.shape[1:3]
    factor = rows // height
    if (rows, columns) != (height * factor, width * factor) or factor < 1:
        raise ShapeError(
            mismatch("mosaic", f"{height}x{width} or a whole multiple", f"{rows}x{columns}", "stitch it at that size")
        )
    picture = mosaic.permute(0, 3, 1, 2).float() / 127.5 - 1
    return F.avg_pool2d(picture, factor) if factor > 1 else picture


class PixelCodec(nn.Module):
    """A latent without a VAE: half-size pixels in 8x8 blocks, minus the mean picture, over one deviation."""

    frames_per_latent = 1
    block, shrink = 8, 2

    def __init__(self, latent: LatentParams) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(latent.channels, latent.height, latent.width))
        self.register_buffer("deviation", torch.ones(()))

    def fit(self, pictures: Tensor) -> None:
        """Take mean picture and deviation from pictures (N, 3, H, W) in -1..1."""
        blocks = self._blocks(pictures)
        self.mean.copy_(blocks.mean(0))
        self.deviation.copy_((blocks - self.mean).std().clamp(min=1e-3))

    def encode(self, picture: Tensor) -> Tensor:
        """See :class:`Codec`."""
        return ((self._blocks(picture) - self.mean) / self.deviation)[:, :, None]

    def encode_clip(self, clip: Tensor) -> Tensor:
        """See :class:`Codec`."""
        return torch.cat([self.encode(frame) for frame in clip.unbind(2)], dim=2)

    def decode(self, latents: Tensor) -> Tensor:
        """See :class:`Codec`."""
        frames = [
            F.pixel_shuffle(frame * self.deviation + self.mean, self.block).clamp(-1, 1) for frame in latents.unbind(2)
        ]
        return torch.stack([F.interpolate(f, scale_factor=self.shrink, mode="nearest") for f in frames], dim=2)

    def _blocks(self, picture: Tensor) -> Tensor:
        """Return (B, 3 * block^2, h, w)."""
        return F.pixel_unshuffle(F.avg_pool2d(picture.float(), self.shrink), self.block)


class WanCodec:
    """The Wan2.2 VAE of diffusers; its mean, normalised channel by channel in float32.

    One frame is encoded by two-dimensional convolutions: before the first frame a causal convolution sees only
    zeros, so all but its newest tap multiply nothing. Same result, a third of the work.
    """

    frames_per_latent = 4

    def __init__(self, vae: Any) -> None:
        """Wrap a ``diffusers.AutoencoderKLWan`` with its weights loaded, on its device."""
        self._vae = vae.eval().requires_grad_(False)
        self._one_frame = flattened(vae.encoder)
        self._mean = self._channels(vae.config.latents_mean)
        self._std = self._channels(vae.config.latents_std)

    @classmethod
    def load(cls, folder: Path, device: torch.device | str, dtype: torch.dtype) -> WanCodec:
        """Load from a folder in diffusers form (``config.json`` and safetensors), never from the network.

        Raises:
            MissingDependencyError: diffusers is not installed.
            ConfigError: the folder does not hold the VAE.
        """
        try:
            vae = _diffusers().from_pretrained(str(folder), local_files_only=True, torch_dtype=dtype)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{folder}: expected the Wan2.2 VAE in diffusers form, got {error}; download its folder 'vae' there"
            ) from error
        return cls(vae.to(device))

    @classmethod
    def random(cls, device: torch.device | str, dtype: torch.dtype, **shape: Any) -> WanCodec:
        """Make one with random weights, for benches and tests; ``shape`` replaces entries of ``WAN_VAE``."""
        vae = _diffusers()(**{**WAN_VAE, **shape})
        return cls(nn.Module.to(vae, device=device, dtype=dtype))

    def encode(self, picture: Tensor) -> Tensor:
        """See :class:`Codec`."""
        patch = self._vae.config.patch_size or 1
        # The VAE wants its patches with the column before the row, one place less than pixel_unshuffle gives.
        blocks = F.pixel_unshuffle(picture.to(self._vae.dtype), patch).unflatten(1, (-1, patch, patch))
        x = blocks.transpose(2, 3).flatten(1, 3)[:, :, None]
        return self._normalised(self._vae.quant_conv(self._one_frame(x)))

    def encode_clip(self, clip: Tensor) -> Tensor:
        """See :class:`Codec`."""
        posterior = self._vae.encode(clip.to(self._vae.dtype)).latent_dist
        return (posterior.mode().float() - self._mean) / self._std

    def decode(self, latents: Tensor) -> Tensor:
        """See :class:`Codec`."""
        raw = latents.float() * self._std + self._mean
        return self._vae.decode(raw.to(self._vae.dtype)).sample.float()

    def _channels(self, values: list[float]) -> Tensor:
        return torch.tensor(values, device=self._vae.device).view(1, -1, 1, 1, 1)

    def _normalised(self, moments: Tensor) -> Tensor:
        return (moments.chunk(2, dim=1)[0].float() - self._mean) / self._std


class _NewestTap(nn.Module):
    """A causal convolution in time for a single frame."""

    def __init__(self, conv: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach()[:, :, -1].contiguous(), requires_grad=False)
        self.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)
        left, _, top, *_ = conv._padding
        self.padding = (top, left)

    def forward(self, x: Tensor, cache_x: Tensor | None = None) -> Tensor:
        """Return (B, C', 1, H, W) of one frame (B, C, 1, H, W)."""
        return F.conv2d(x[:, :, 0], self.weight, self.bias, padding=self.padding)[:, :, None]


def flattened(encoder: nn.Module) -> nn.Module:
    """Return a copy of a causal video encoder that takes one frame, with every convolution two-dimensional."""
    flat = copy.deepcopy(encoder).eval()
    for module in list(flat.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv3d):
                setattr(module, name, _NewestTap(child))
    return flat


def _diffusers() -> Any:
    try:
        from diffusers import AutoencoderKLWan
    except ImportError as error:
        raise MissingDependencyError(
            "the Wan2.2 VAE needs diffusers, which is not installed; pip install 'wam_ros[models]'"
        ) from error
    return AutoencoderKLWan
