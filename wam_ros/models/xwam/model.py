# SPDX-License-Identifier: Apache-2.0
"""X-WAM: one transformer over [video | actions | states], and a depth branch that reads it and is never read.

Every token has its own flow time, so actions may be clean while the video is still noise. All tokens see each
other: no mask, and nothing that could be kept from step to step but the text. Names are the released ones:
Wan2.2's, ``view_embedding``, four small MLPs, ``extra_blocks.0`` and ``extra_heads.0`` for depth.

Source: the X-WAM paper and sharinka0715/X-WAM modules/wan_model.py.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from wam_ros.models.attention import KeysValues, attend
from wam_ros.models.block import Block, FlowTime
from wam_ros.models.rope import Rotation, video_rotation
from wam_ros.models.video import Head, VideoExpert
from wam_ros.models.xwam.params import XWamParams
from wam_ros.models.xwam.places import row_places, row_rotation, state_places


class Observed(NamedTuple):
    """What a chunk is made from.

    Attributes:
        latent: (B, C, 1, V, h, w) of the observed views, normalised.
        pictures: (B, V, 3, H, W) in -1..1; read by a stem only.
        text: (B, L, text_dim).
        state: (B, P) normalised.
    """

    latent: Tensor
    pictures: Tensor
    text: Tensor
    state: Tensor


class Noisy(NamedTuple):
    """What is being denoised.

    Attributes:
        video: (B, C, T-1, V, h, w) later latent frames, or none of them, and their flow time (B,) in 0..1000.
        actions: (B, K, A) rows, and their flow time (B,).
        states: (B, S-1, P) later states, which share the flow time of the rows.
    """

    video: Tensor
    video_time: Tensor
    actions: Tensor
    action_time: Tensor
    states: Tensor


class Predicted(NamedTuple):
    """Predictions of the same shapes; ``depth`` (B, C, T, V, h, w), or of fewer samples, is the clean latent of all frames, or None."""

    video: Tensor
    actions: Tensor
    states: Tensor
    depth: Tensor | None


class Tokens(NamedTuple):
    """Tokens (B, N, D) after the last layer: of the main branch, and of the video in the depth branch."""

    main: Tensor
    depth: Tensor | None


class XWam(VideoExpert):
    """An X-WAM of any size; the state dict has the released names."""

    def __init__(self, params: XWamParams) -> None:
        super().__init__(params.dit, params.latent)
        self.sizes = params
        hidden, dit = params.dit.hidden, params.dit
        self.view_embedding = nn.Embedding(params.views, hidden)
        a, s = params.action_dim, params.proprio_dim
        self.action_encoder, self.action_decoder = _mlp(a, hidden, hidden), _mlp(hidden, hidden, a)
        self.proprio_encoder, self.proprio_decoder = _mlp(s, hidden, hidden), _mlp(hidden, hidden, s)
        self.extra_blocks = nn.ModuleList([nn.ModuleList(Block(dit) for _ in range(params.depth_layers))])
        self.extra_heads = nn.ModuleList([Head(hidden, params.latent.values_per_token, dit.eps)])

    @property
    def depth_blocks(self) -> list[Block]:
        """The twins of the last layers, in order."""
        return list(self.extra_blocks[0])  # type: ignore[arg-type, call-overload]

    @property
    def depth_head(self) -> Head:
        """Output layer of the depth branch."""
        return self.extra_heads[0]  # type: ignore[return-value]

    def embed_observed(self, observed: Observed) -> tuple[Tensor, Tensor]:
        """Return the tokens of the observed frame (B, V n, D) and of the observed state (B, 1, D)."""
        first = self.embed_first(_by_view(observed.latent), observed.pictures.flatten(0, 1))
        return self._sequenced(first, 1), self._states(observed.state[:, None])

    def embed(self, observed: tuple[Tensor, Tensor], noisy: Noisy) -> Tensor:
        """Return all tokens (B, N, D): video by time, view, row, column; then rows; then states.

        Args:
            observed: from ``embed_observed``.
            noisy: the rest; its flow times are not looked at.
        """
        rows = self.action_encoder(noisy.actions.to(self.dtype))
        others = rows, observed[1], self._states(noisy.states)
        if not (frames := noisy.video.shape[2]):
            return torch.cat((observed[0], *others), dim=1)
        later = self._sequenced(self.embed_future(_by_view(noisy.video)), frames)
        return torch.cat((observed[0], later, *others), dim=1)

    def _sequenced(self, x: Tensor, frames: int) -> Tensor:
        """Return (B, T V n, D) of the tokens (B V, T n, D) of each view, which is then known by its embedding."""
        by_view = x.unflatten(1, (frames, -1)).unflatten(0, (-1, self.sizes.views))
        return (by_view + self.view_embedding.weight[:, None, None]).transpose(1, 2).flatten(1, 3)

    def _states(self, states: Tensor) -> Tensor:
        return self.proprio_encoder(states.to(self.dtype))

    def token_times(self, video_time: Tensor, action_time: Tensor) -> Tensor:
        """Return the flow time of each token (B, N); the observed frame and the observed state stand at 0."""
        return self._spread(_three(video_time, action_time), self.latent.frames - 1)

    def _spread(self, three: Tensor, later: int) -> Tensor:
        """Return (B, N, ...) of (B, 3, ...): to each token what belongs to its own one of three flow times.

        Args:
            later: frames after the observed one.
        """
        p = self.sizes
        still, video, rows = three.split(1, dim=1)
        parts = (
            (still, p.tokens_per_frame),
            (video, later * p.tokens_per_frame),
            (rows, p.horizon),
            (still, 1),
            (rows, p.states - 1),
        )
        return torch.cat([part.expand(-1, count, *part.shape[2:]) for part, count in parts], dim=1)

    def placing(self, later: int | None = None) -> Rotation:
        """Return the rotation of all tokens; rows and states lie between the latent frames in time.

        Args:
            later: frames after the observed one; None for all.
        """
        p, device, width = self.sizes, self.device, self.params.head_dim
        count = p.latent.frames if later is None else 1 + later
        frames = torch.arange(count, device=device).repeat_interleave(p.views)
        # A view is one more frame at the same time.
        video = video_rotation(frames, *p.latent.grid, width)
        others = torch.cat((row_places(p, device), state_places(p, device)))
        return tuple(torch.cat(pair) for pair in zip(video, row_rotation(others, width), strict=True))  # type: ignore[return-value]

    def flow(
        self, x: Tensor, time: FlowTime, rotation: Rotation, context: Tensor, *, depth: bool, deep: int | None = None
    ) -> Tokens:
        """Run tokens (B, N, D) through all layers, with the depth branch beside the last ones if wanted.

        Args:
            time: embedded flow time of each token.
            context: (B, L, D) text in the model's width.
            depth: run the depth branch, too.
            deep: samples that it is run on, from the first on; None for all.
        """
        count, fork = self.sizes.video_tokens, self.params.layers - self.sizes.depth_layers
        of_deep = FlowTime(time.vector[:deep, :count], time.six[:deep, :count])
        seen: Tensor | None = None
        for layer, block in enumerate(self.layers):
            if depth and layer == fork:
                seen = x[:deep, :count]
            modulation = block.modulate(time)
            queries, keys, values = block.project(x, modulation, rotation)
            x = block.finish(x, attend(queries, keys, values), modulation, block.cross_attn.keys_values(context))
            if seen is not None:
                heard = keys[:deep], values[:deep]
                seen = self._listen(self.depth_blocks[layer - fork], seen, of_deep, rotation, heard, context[:deep])
        return Tokens(x, seen)

    def _listen(
        self, block: Block, x: Tensor, time: FlowTime, rotation: Rotation, main: KeysValues, context: Tensor
    ) -> Tensor:
        """Run one layer of the depth branch, which reads itself and the main branch."""
        count = x.shape[1]
        modulation = block.modulate(time)
        queries, *own = block.project(x, modulation, (rotation[0][:count], rotation[1][:count]))
        keys, values = (torch.cat(pair, dim=1) for pair in zip(own, main, strict=True))
        return block.finish(x, attend(queries, keys, values), modulation, block.cross_attn.keys_values(context))

    def predict(self, observed: Observed, noisy: Noisy, *, depth: bool = False, deep: int | None = None) -> Predicted:
        """Return all predictions; ``depth`` and ``deep`` say of how many samples the depth branch is run (``flow``).

        Without later frames (``Noisy``) rows and states are predicted from what is observed alone, and there is
        no video and no depth to ask for.
        """
        p, later = self.sizes, noisy.video.shape[2]
        # There are three flow times, whatever the number of tokens.
        three = self.time(_three(noisy.video_time, noisy.action_time))
        time = FlowTime(*(self._spread(part, later) for part in three))
        x = self.embed(self.embed_observed(observed), noisy)
        tokens = self.flow(x, time, self.placing(later), self.text(observed.text), depth=depth, deep=deep)
        n, vector = p.tokens_per_frame, time.vector
        video, rows, states = tokens.main.split((n * (1 + later), p.horizon, p.states), dim=1)
        return Predicted(
            self.frames(self.head(video[:, n:], vector[:, n : n * (1 + later)])) if later else noisy.video,
            self.action_decoder(rows),
            self.proprio_decoder(states[:, 1:]),
            None if tokens.depth is None else self.depth_latent(tokens.depth, vector),
        )

    def depth_latent(self, tokens: Tensor, vector: Tensor) -> Tensor:
        """Return the clean depth latent (B, C, T, V, h, w) of the depth branch's tokens."""
        return self.frames(self.depth_head(tokens, vector[: len(tokens), : tokens.shape[1]]))

    def frames(self, values: Tensor) -> Tensor:
        """Return latent frames (B, C, T', V, h, w) of the values (B, T' V n, out) of their tokens."""
        (pt, ph, pw), (rows, columns) = self.latent.patch, self.latent.grid
        parts = values.unflatten(2, (pt, ph, pw, self.latent.channels))
        parts = parts.unflatten(1, (-1, self.sizes.views, rows, columns)).permute(0, 8, 1, 5, 2, 3, 6, 4, 7)
        return parts.reshape(len(values), self.latent.channels, -1, self.sizes.views, rows * ph, columns * pw)


def _three(video_time: Tensor, action_time: Tensor) -> Tensor:
    """Return (B, 3) flow times: of what is observed, of the later video, of rows and later states."""
    return torch.stack((torch.zeros_like(video_time), video_time, action_time), dim=1)


def _mlp(width: int, hidden: int, out: int) -> nn.Sequential:
    """Return the two layers between a vector and its token."""
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, out))


def _by_view(latent: Tensor) -> Tensor:
    """Return (B V, C, T, h, w) of (B, C, T, V, h, w)."""
    return latent.permute(0, 3, 1, 2, 4, 5).flatten(0, 1)


def build(params: XWamParams, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> XWam:
    """Return a model with random weights made directly on a device (``meta`` for names and shapes alone).

    Output layers start at zero; the depth branch starts as a copy of the last layers, as released.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = XWam(params)
    finally:
        torch.set_default_dtype(before)
    twins = zip(model.depth_blocks, model.layers[-params.depth_layers :], strict=True)
    for twin, block in twins:
        twin.load_state_dict(block.state_dict())
    for head in (model.head.head, model.depth_head.head, model.action_decoder[-1], model.proprio_decoder[-1]):
        nn.init.zeros_(head.weight)  # type: ignore[arg-type]
        nn.init.zeros_(head.bias)  # type: ignore[arg-type]
    return model
