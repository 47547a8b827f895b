# SPDX-License-Identifier: Apache-2.0
"""Hyper-parameters of the models, as flat frozen data; the sizes ``full`` and ``tiny`` are two values of one class.

The full size is Wan2.2-TI2V-5B with an action expert beside it (Wan-Video/Wan2.2 wan/configs/wan_ti2v_5B.py;
yuantianyuan01/FastWAM configs/model/fastwam.yaml). The tiny size has the same structure for two CPU cores: a
latent is a block of pixels instead of a VAE's code, text is hashed, and a small convolutional stem reads the
first frame at full resolution.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from wam_ros.core.card import Card
from wam_ros.core.errors import ConfigError, mismatch

Variant = Literal["main", "joint", "idm", "no_co_train", "optional_idm"]
Target = Literal["velocity", "x0"]


@dataclass(frozen=True)
class DiTParams:
    """One diffusion transformer.

    Attributes:
        hidden: width of the residual stream (D).
        ffn: width inside the feed-forward layers.
        layers, heads, head_dim: attention; its inner width is heads * head_dim, whatever ``hidden`` is.
        text_dim: width of the text embeddings that enter.
        freq_dim: width of the sinusoid of the flow time.
        eps: of all normalisations.
    """

    hidden: int
    ffn: int
    layers: int
    heads: int
    head_dim: int
    text_dim: int
    freq_dim: int = 256
    eps: float = 1e-6

    @property
    def inner(self) -> int:
        """Width of queries, keys and values of all heads together."""
        return self.heads * self.head_dim


@dataclass(frozen=True)
class LatentParams:
    """Latent video: what a codec makes of pictures, and how it is cut into tokens.

    Attributes:
        codec: ``wan_vae``, or ``pixels``: half-size pixel blocks that need no weights.
        channels: of a latent frame (C).
        frames: latent frames of a clip, the observed first one included (T).
        height, width: of a latent frame (h, w).
        patch: latent positions (time, height, width) of one token.
        picture_height, picture_width: of the picture (H, W) that the codec encodes [pixels].
        stem: channels of the convolutional stem that reads the first picture itself; empty for none.
    """

    codec: Literal["wan_vae", "pixels"]
    channels: int
    frames: int
    height: int
    width: int
    patch: tuple[int, int, int]
    picture_height: int
    picture_width: int
    stem: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        # Both codecs make one latent position of 16 x 16 pixels.
        rows, columns = 16 * self.patch[1], 16 * self.patch[2]
        size = self.picture_height, self.picture_width
        if size != (16 * self.height, 16 * self.width) or size[0] % rows or size[1] % columns:
            raise ConfigError(
                mismatch("picture", f"a whole number of tokens of {rows}x{columns} pixels", size, "choose another size")
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens of one latent frame."""
        return self.height // self.patch[1], self.width // self.patch[2]

    @property
    def tokens_per_frame(self) -> int:
        """Tokens of one latent frame."""
        return self.grid[0] * self.grid[1]

    @property
    def values_per_token(self) -> int:
        """Latent values that one token carries."""
        return self.channels * self.patch[0] * self.patch[1] * self.patch[2]


@dataclass(frozen=True)
class FastWamParams:
    """A Fast-WAM: a video expert and an action expert that share attention in every layer.

    Attributes:
        variant: who sees the imagined future; see :mod:`wam_ros.models.masks`. ``no_co_train`` is ``main``
            trained without a video loss.
        target: what both experts predict: the velocity (noise - clean), as released, or the clean sample.
        shift_video, shift_action: s of the schedule sigma = s u / (1 + (s - 1) u).
        steps: Euler steps of a chunk.
        text_length: tokens of the text; the state token comes after them.
        horizon: rows of a chunk (K); ``rate_hz`` rows per second.
        action_dim, proprio_dim: A and P.
    """

    video: DiTParams
    action: DiTParams
    latent: LatentParams
    variant: Variant = "main"
    target: Target = "velocity"
    shift_video: float = 5.0
    shift_action: float = 5.0
    steps: int = 10
    text_length: int = 128
    horizon: int = 32
    rate_hz: float = 15.0
    action_dim: int = 14
    proprio_dim: int = 14

    def __post_init__(self) -> None:
        a, v = self.action, self.video
        shared = [(p.layers, p.heads, p.head_dim, p.text_dim) for p in (v, a)]
        if shared[0] != shared[1]:
            raise ConfigError(
                mismatch(
                    "action expert", f"layers, heads, head_dim, text_dim {shared[0]}", shared[1], "make them equal"
                )
            )

    @property
    def first_tokens(self) -> int:
        """Tokens of the observed first frame."""
        return self.latent.tokens_per_frame

    @property
    def future_tokens(self) -> int:
        """Tokens of all later latent frames."""
        return self.latent.tokens_per_frame * (self.latent.frames - 1)


def wan_latent(height: int, width: int) -> LatentParams:
    """Latent of Wan2.2: 16 pixels a position, 48 channels, 2x2 positions a token, 9 frames in 3 latents."""
    return LatentParams("wan_vae", 48, 3, height // 16, width // 16, (1, 2, 2), height, width)


def pixel_latent(height: int, width: int, stem: tuple[int, ...] = (32, 64, 96)) -> LatentParams:
    """Latent without a VAE: 16x16 pixels at half size are 8*8*3 = 192 numbers, one token."""
    return LatentParams("pixels", 192, 3, height // 16, width // 16, (1, 1, 1), height, width, stem)


FULL = FastWamParams(
    video=DiTParams(hidden=3072, ffn=14336, layers=30, heads=24, head_dim=128, text_dim=4096),
    action=DiTParams(hidden=1024, ffn=4096, layers=30, heads=24, head_dim=128, text_dim=4096),
    latent=wan_latent(384, 320),
)

TINY = FastWamParams(
    video=DiTParams(hidden=192, ffn=768, layers=5, heads=4, head_dim=48, text_dim=128, freq_dim=128),
    action=DiTParams(hidden=128, ffn=512, layers=5, heads=4, head_dim=48, text_dim=128, freq_dim=128),
    latent=pixel_latent(96, 80),
    target="x0",
    text_length=8,
    horizon=16,
    rate_hz=10.0,
)

SIZES = {"full": FULL, "tiny": TINY}


def sized(size: str, **changes: object) -> FastWamParams:
    """Return the parameters of a named size with changes.

    Args:
        size: ``full`` or ``tiny``.
        changes: fields of :class:`FastWamParams`; also ``picture_height`` and ``picture_width``.

    Raises:
        ConfigError: unknown size or field.
    """
    if size not in SIZES:
        raise ConfigError(mismatch("model size", ", ".join(SIZES), size, "choose one of them"))
    params = SIZES[size]
    height = changes.pop("picture_height", params.latent.picture_height)
    width = changes.pop("picture_width", params.latent.picture_width)
    make = wan_latent if params.latent.codec == "wan_vae" else pixel_latent
    fields = {f.name for f in dataclasses.fields(params)}
    if unknown := set(changes) - fields:
        raise ConfigError(
            mismatch("model parameters", f"some of {sorted(fields)}", sorted(unknown), "correct the name")
        )
    return dataclasses.replace(params, latent=make(int(height), int(width)), **changes)  # type: ignore[call-overload, arg-type]


def from_card(card: Card) -> FastWamParams:
    """Return the parameters that a checkpoint's card describes.

    Raises:
        ConfigError: if the card names a size, variant or parameter that does not exist.
    """
    if card.family != "fastwam":
        raise ConfigError(mismatch("card family", "fastwam", card.family, "use the backend of that family"))
    if card.variant not in Variant.__args__:  # type: ignore[attr-defined]
        raise ConfigError(mismatch("card variant", ", ".join(Variant.__args__), card.variant, "correct the card"))  # type: ignore[attr-defined]
    return sized(
        card.size,
        variant=card.variant,
        target=card.target,
        shift_video=card.shift_video,
        shift_action=card.shift_action,
        steps=card.steps,
        text_length=card.text_length,
        horizon=card.horizon,
        rate_hz=card.rate_hz,
        action_dim=len(card.action.names),
        proprio_dim=len(card.state.names),
        **card.params,
    )
