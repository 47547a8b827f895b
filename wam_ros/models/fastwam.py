# SPDX-License-Identifier: Apache-2.0
"""Fast-WAM: look at the first frame once, imagine the future if the variant wants it, act.

Three verbs are the whole model. ``look`` runs the observed frame through the video expert and keeps its keys
and values; ``imagine`` predicts later frames that read them; ``act`` predicts rows of a chunk that read the
first frame and, in the imagining variants, the future. They serve training (several noise draws can share one
``look``) and inference. ``masked`` states the same as one masked sequence and is the definition they are
tested against.

Source: the Fast-WAM paper (section 3) and yuantianyuan01/FastWAM src/fastwam/models/wan22/fastwam.py. The state
enters as one more token after the text, which the paper does not mention.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wam_ros.core.errors import ShapeError
from wam_ros.models.action import ActionExpert
from wam_ros.models.masks import Group, Groups, Procedure, attention_mask, only_where, procedure, table
from wam_ros.models.mot import Memory, MoT, Stream, after, flow, joint
from wam_ros.models.params import FastWamParams
from wam_ros.models.video import VideoExpert


class Observed(NamedTuple):
    """What a chunk is made from.

    Attributes:
        latent: (B, C, 1, h, w) of the observed picture, normalised.
        picture: (B, 3, H, W) in -1..1; read by a stem only.
        text: (B, L, text_dim), zero after the end of the text.
        proprio: (B, P) normalised state.
    """

    latent: Tensor
    picture: Tensor
    text: Tensor
    proprio: Tensor


class Noisy(NamedTuple):
    """What is being denoised, for training and for ``masked``.

    Attributes:
        future: (B, C, T-1, h, w) later latent frames, and their flow time (B,) in 0..1000.
        actions: (B, K, A) rows, and their flow time (B,), or (B, K) for each row.
        seen: (B, C, T-1, h, w) the copy of the future that the actions read (inverse dynamics only), clean or
            noise-augmented with flow time (B,).
        sees_future: (B,) bool, optional variant only: False where the actions read the first frame alone.
    """

    future: Tensor
    future_time: Tensor
    actions: Tensor
    action_time: Tensor
    seen: Tensor | None = None
    seen_time: Tensor | None = None
    sees_future: Tensor | None = None


class Predicted(NamedTuple):
    """Predictions of both experts: later frames (B, C, T-1, h, w) and rows (B, K, A)."""

    future: Tensor
    actions: Tensor


class Scene(NamedTuple):
    """The first frame's keys and values, and the text and state in the width of each expert."""

    memory: Memory
    video_context: Tensor
    action_context: Tensor

    def repeat(self, draws: int) -> Scene:
        """Return the scene for ``draws`` noise draws of each sample: sample 0, 1, .. B-1, 0, 1, .."""
        return self._map(lambda x: x.repeat(draws, *[1] * (x.dim() - 1)))

    def first(self, count: int) -> Scene:
        """Return the scene of the first ``count`` samples."""
        return self._map(lambda x: x[:count])

    def _map(self, change: Callable[[Tensor], Tensor]) -> Scene:
        memory = [(change(k), change(v)) for k, v in self.memory]
        return Scene(memory, change(self.video_context), change(self.action_context))


class FastWam(nn.Module):
    """A Fast-WAM of any size and variant; the state dict has the released names."""

    def __init__(self, params: FastWamParams) -> None:
        super().__init__()
        self.params = params
        self.mot = MoT(params)
        self.proprio_encoder = nn.Linear(params.proprio_dim, params.video.text_dim)

    @property
    def video(self) -> VideoExpert:
        """The video expert."""
        return self.mot.mixtures["video"]  # type: ignore[return-value]

    @property
    def action(self) -> ActionExpert:
        """The action expert."""
        return self.mot.mixtures["action"]  # type: ignore[return-value]

    @property
    def procedure(self) -> Procedure:
        """How this variant is trained: what its actions may read."""
        return procedure(self.params.variant)

    def context(self, text: Tensor, proprio: Tensor) -> Tensor:
        """Return text and state as one context (B, L + 1, text_dim)."""
        dtype = self.proprio_encoder.weight.dtype
        return torch.cat((text.to(dtype), self.proprio_encoder(proprio.to(dtype))[:, None]), dim=1)

    def look(self, observed: Observed) -> Scene:
        """Run the observed frame; nothing that is denoised later can change the result."""
        context = self.context(observed.text, observed.proprio)
        video_context = self.video.text(context)
        x = self.video.embed_first(observed.latent, observed.picture)
        time = self.video.time(torch.zeros(1, device=x.device))
        _, memory = flow(Stream(self.video, x, time, self.video.rotation(0, 1), video_context))
        return Scene(memory, video_context, self.action.text(context))

    def imagine(self, scene: Scene, future: Tensor, t: Tensor) -> tuple[Tensor, Memory]:
        """Predict later frames.

        Args:
            scene: from ``look``.
            future: (B, C, T-1, h, w) noisy latent frames.
            t: (B,) their flow time in 0..1000.

        Returns:
            The prediction (B, C, T-1, h, w) and the frames' keys and values, for ``act``.
        """
        time = self.video.time(t)
        rotation = self.video.rotation(1, future.shape[2])
        stream = Stream(self.video, self.video.embed_future(future), time, rotation, scene.video_context)
        x, memory = flow(stream, scene.memory)
        return self.video.unembed(x, time.vector), memory

    def act(
        self,
        scene: Scene,
        actions: Tensor,
        t: Tensor,
        future: Memory | None = None,
        sees_future: Tensor | None = None,
    ) -> Tensor:
        """Predict rows of a chunk, (B, K, A).

        Args:
            scene: from ``look``.
            actions: (B, K, A) noisy rows.
            t: (B,) flow time, or (B, K) for each row (rows of a committed prefix at 0).
            future: keys and values of later frames that the rows may read.
            sees_future: (B,) bool, samples whose rows do read them.
        """
        memory = scene.memory if future is None else after(scene.memory, future)
        mask = None
        if sees_future is not None:
            n, m, k = self.params.first_tokens, self.params.future_tokens, actions.shape[1]
            keys: Groups = [("first", n), ("future", m), ("action", k)]
            whole = torch.ones(k, n + m + k, dtype=torch.bool, device=actions.device)
            mask = only_where(whole, [("action", k)], keys, sees_future)
        x, _ = flow(self._rows(actions, t, scene.action_context), memory, mask)
        return self.action.unembed(x)

    def predict(self, observed: Observed, noisy: Noisy) -> Predicted:
        """Return both predictions through ``look``, ``imagine`` and ``act``, as training does."""
        scene = self.look(observed)
        predicted, future = self.imagine(scene, noisy.future, noisy.future_time)
        if self.procedure == "idm":
            seen, seen_time = _seen(noisy)
            _, future = self.imagine(scene, seen, seen_time)
        read = None if self.procedure == "main" else future
        return Predicted(predicted, self.act(scene, noisy.actions, noisy.action_time, read, noisy.sees_future))

    def masked(self, observed: Observed, noisy: Noisy) -> Predicted:
        """Return both predictions from one masked sequence of all tokens: the definition, not the fast way."""
        context = self.context(observed.text, observed.proprio)
        n, m, k = self.params.first_tokens, self.params.future_tokens, noisy.actions.shape[1]
        streams = [self._clip(observed, noisy.future, noisy.future_time, context)]
        groups: list[tuple[Group, int]] = [("first", n), ("future", m)]
        if self.procedure == "idm":
            streams.append(self._clip(observed, *_seen(noisy), context))
            groups += [("seen_first", n), ("seen", m)]
        streams.append(self._rows(noisy.actions, noisy.action_time, self.action.text(context)))
        groups.append(("action", k))
        mask = attention_mask(groups, groups, table(self.procedure, training=True), noisy.actions.device)
        if noisy.sees_future is not None:
            mask = only_where(mask, groups, groups, noisy.sees_future)
        outputs = joint(streams, mask)
        vector = self.video.time(noisy.future_time).vector
        return Predicted(self.video.unembed(outputs[0][:, n:], vector), self.action.unembed(outputs[-1]))

    def _clip(self, observed: Observed, future: Tensor, t: Tensor, context: Tensor) -> Stream:
        """Return all frames of a clip as one stream; tokens of the first frame have flow time 0."""
        first = self.video.embed_first(observed.latent, observed.picture)
        x = torch.cat((first, self.video.embed_future(future)), dim=1)
        times = t[:, None].repeat(1, x.shape[1])
        times[:, : first.shape[1]] = 0
        rotation = self.video.rotation(0, 1 + future.shape[2])
        return Stream(self.video, x, self.video.time(times), rotation, self.video.text(context))

    def _rows(self, actions: Tensor, t: Tensor, context: Tensor) -> Stream:
        x = self.action.embed(actions)
        return Stream(self.action, x, self.action.time(t), self.action.rotation(x.shape[1]), context)


def _seen(noisy: Noisy) -> tuple[Tensor, Tensor]:
    if noisy.seen is None or noisy.seen_time is None:
        raise ShapeError("inverse dynamics: expected the frames that actions read, got none; give seen and seen_time")
    return noisy.seen, noisy.seen_time


def build(params: FastWamParams, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> FastWam:
    """Return a model with random weights made directly on a device (``meta`` for names and shapes alone).

    Both output layers start at zero, so an untrained model predicts nothing instead of noise.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = FastWam(params)
    finally:
        torch.set_default_dtype(before)
    for head in (model.video.head.head, model.action.head):
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    return model
