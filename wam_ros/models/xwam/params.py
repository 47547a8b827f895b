# SPDX-License-Identifier: Apache-2.0
"""Hyper-parameters of X-WAM; ``full`` and ``tiny`` are two values of one class.

The full size is Wan2.2-TI2V-5B with a depth branch (sharinka0715/X-WAM configs/model/wan22_5b_sft.yaml). The tiny
size has the same structure for two CPU cores: pixel blocks instead of a VAE's code, hashed text, and a stem.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from wam_ros.core.card import Card
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.models.params import DiTParams, LatentParams, Target, pixel_latent, wan_latent


@dataclass(frozen=True)
class XWamParams:
    """An X-WAM.

    Attributes:
        dit: the one transformer that all modalities share.
        latent: latent video of ONE view.
        views: cameras (V); they share places and differ by a learned embedding.
        depth_layers: last layers that have a twin in the depth branch (M).
        target: what is predicted of video, actions and states; depth is always predicted clean.
        shift: s of the noise schedule of all three.
        action_steps, video_steps: denoising steps until the actions, and until the video, are done (T_a <= T_O).
        text_length: tokens of the text; the places after its end are attended to as they are.
        horizon: rows of a chunk (K); ``rate_hz`` rows per second.
        states: predicted states, the observed first one included (S).
        action_dim, proprio_dim: A and P.
        crop: share of each view's height and width that is kept, about its centre, before it is resized.
    """

    dit: DiTParams
    latent: LatentParams
    views: int = 3
    depth_layers: int = 10
    target: Target = "velocity"
    shift: float = 5.0
    action_steps: int = 10
    video_steps: int = 50
    text_length: int = 512
    horizon: int = 32
    states: int = 9
    rate_hz: float = 15.0
    action_dim: int = 14
    proprio_dim: int = 16
    crop: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.depth_layers <= self.dit.layers:
            raise ConfigError(mismatch("depth_layers", f"1..{self.dit.layers}", self.depth_layers, "choose fewer"))
        if not 0 < self.action_steps <= self.video_steps:
            got = (self.action_steps, self.video_steps)
            raise ConfigError(mismatch("denoising steps", "actions <= video", got, "raise video_steps"))
        if self.states < 2 or self.horizon % (self.states - 1):
            expected = f"1 + a divisor of the horizon {self.horizon}"
            raise ConfigError(mismatch("states", expected, self.states, "choose another number of states"))

    @property
    def tokens_per_frame(self) -> int:
        """Tokens of one latent frame of all views."""
        return self.views * self.latent.tokens_per_frame

    @property
    def video_tokens(self) -> int:
        """Tokens of all latent frames of all views."""
        return self.latent.frames * self.tokens_per_frame

    @property
    def tokens(self) -> int:
        """Length of the whole sequence [video | actions | states]."""
        return self.video_tokens + self.horizon + self.states

    @property
    def rows_per_state(self) -> int:
        """Rows of a chunk between two predicted states."""
        return self.horizon // (self.states - 1)

    @property
    def video_shape(self) -> tuple[int, ...]:
        """Latent video of all views without the batch: (C, T, V, h, w)."""
        p = self.latent
        return p.channels, p.frames, self.views, p.height, p.width


FULL = XWamParams(
    dit=DiTParams(hidden=3072, ffn=14336, layers=30, heads=24, head_dim=128, text_dim=4096),
    latent=wan_latent(256, 320),
)

TINY = XWamParams(
    dit=DiTParams(hidden=192, ffn=384, layers=5, heads=4, head_dim=48, text_dim=128, freq_dim=128),
    latent=pixel_latent(64, 80, stem=(24, 48, 64)),
    depth_layers=2,
    target="x0",
    text_length=8,
    horizon=16,
    states=5,
    rate_hz=10.0,
    crop=1.0,
)

SIZES = {"full": FULL, "tiny": TINY}


def sized(size: str, **changes: object) -> XWamParams:
    """Return the parameters of a named size with changes.

    Args:
        size: ``full`` or ``tiny``.
        changes: fields of :class:`XWamParams`; also ``view_height`` and ``view_width`` of each view.

    Raises:
        ConfigError: unknown size or field.
    """
    if size not in SIZES:
        raise ConfigError(mismatch("model size", ", ".join(SIZES), size, "choose one of them"))
    params = SIZES[size]
    latent = params.latent
    height, width = (
        int(changes.pop(f"view_{side}", getattr(latent, f"picture_{side}")))  # type: ignore[call-overload]
        for side in ("height", "width")
    )
    fields = {f.name for f in dataclasses.fields(params)}
    if unknown := set(changes) - fields:
        expected = f"some of {sorted(fields)}"
        raise ConfigError(mismatch("model parameters", expected, sorted(unknown), "correct the name"))
    fresh = wan_latent(height, width) if latent.codec == "wan_vae" else pixel_latent(height, width, stem=latent.stem)
    return dataclasses.replace(params, latent=fresh, **changes)  # type: ignore[arg-type]


def from_card(card: Card) -> XWamParams:
    """Return the parameters that a checkpoint's card describes.

    Raises:
        ConfigError: another family, a size or parameter that does not exist, or views of unequal size.
    """
    if card.family != "xwam":
        raise ConfigError(mismatch("card family", "xwam", card.family, "use the backend of that family"))
    cells = {(cell.height, cell.width) for cell in card.mosaic.cells}
    if len(cells) != 1:
        raise ConfigError(mismatch("card mosaic", "cells of one size", sorted(cells), "make all views equally large"))
    height, width = cells.pop()
    return sized(
        card.size,
        view_height=height,
        view_width=width,
        views=len(card.mosaic.cells),
        target=card.target,
        shift=card.shift_action,
        action_steps=card.steps,
        text_length=card.text_length,
        horizon=card.horizon,
        rate_hz=card.rate_hz,
        action_dim=len(card.action.names),
        proprio_dim=len(card.state.names),
        **card.params,
    )
