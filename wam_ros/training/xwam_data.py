# SPDX-License-Identifier: Apache-2.0
"""From episodes with depth to batches for X-WAM: windows of views, depth pictures, states and rows.

As in ``data.py``: ``actions[n]`` is the target commanded at frame n, row 0 of the chunk of frame n. State j of a
window belongs to the frame ``j * rows_per_state`` rows later; what lies after the end, or cannot
be foreseen (``examples.py``), is masked out of the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wam_ros.core.card import DepthCoding
from wam_ros.core.errors import DatasetError, mismatch
from wam_ros.models.xwam.checkpoint import Codecs
from wam_ros.models.xwam.model import Observed
from wam_ros.models.xwam.params import XWamParams
from wam_ros.training.data import Normalisers, chunks, strayed
from wam_ros.training.examples import places
from wam_ros.training.looks import AS_RECORDED, Looks, redrawn_deep
from wam_ros.training.xwam_objective import XWamBatch


@dataclass(frozen=True)
class DeepEpisode:
    """One demonstration with depth, at the policy's rate.

    Attributes:
        frames: (N, V, H, W, 3) uint8 views at the model's size.
        depths_m: (N, V, H, W) float, 0 where unknown.
        states: (N, P) in the card's state layout.
        actions: (N, A) in the card's action layout.
        prompt: the whole prompt, template applied.
        examples: (N,) bool, False where the demonstrator erred (``examples.py``); None: nowhere.
    """

    frames: NDArray[np.uint8]
    depths_m: NDArray[np.floating]
    states: NDArray[np.float64]
    actions: NDArray[np.float64]
    prompt: str
    examples: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.frames), len(self.depths_m), len(self.states), len(self.actions)}
        if len(lengths) != 1 or not len(self.frames):
            expected = "as many depths, states and actions as frames, at least one"
            raise DatasetError(mismatch("episode", expected, sorted(lengths), "record it again"))
        if self.depths_m.shape != self.frames.shape[:4]:
            raise DatasetError(
                mismatch("episode: depth", self.frames.shape[:4], self.depths_m.shape, "bring it to the views' size")
            )


class _Window(NamedTuple):
    """One window as arrays; see :class:`XWamBatch`."""

    frames: NDArray[np.uint8]
    depths: NDArray[np.float64]
    states: NDArray[np.float64]
    actions: NDArray[np.float64]
    rows_valid: NDArray[np.bool_]
    states_valid: NDArray[np.bool_]
    frames_valid: NDArray[np.bool_]


class DeepWindows:
    """Random access to the windows of many episodes.

    Args:
        episodes: all of one robot and layout.
        params: sizes of the model.
        normalisers: of state and action.
        coding: of the depth pictures.
        embed: prompt to (L, text_dim) text embedding; asked once for each prompt.
        state_noise: how far the observed state strays, see :func:`wam_ros.training.data.strayed`.
        relative: (A,) where rows are differences to the observed state, see :func:`wam_ros.training.data.chunks`.
        looks: how much views look other than recorded.
        turns: how often windows are drawn that begin right after an error (``examples.py``); others once.
    """

    def __init__(
        self,
        episodes: Sequence[DeepEpisode],
        params: XWamParams,
        normalisers: Normalisers,
        coding: DepthCoding,
        embed: Callable[[str], Tensor],
        state_noise: float = 0.0,
        relative: Sequence[bool] = (),
        looks: Looks = AS_RECORDED,
        turns: int = 1,
    ) -> None:
        self._episodes, self._params, self._maps, self._coding = tuple(episodes), params, normalisers, coding
        self._state_noise, self._relative, self._looks = state_noise, tuple(relative), looks
        self._starts, self._ends = places(self._episodes, turns)
        self._texts = {prompt: embed(prompt) for prompt in {episode.prompt for episode in self._episodes}}
        pictures = (params.latent.frames - 1) * (4 if params.latent.codec == "wan_vae" else 1)
        self._frame_offsets = np.arange(pictures + 1) * params.horizon // pictures
        self._state_offsets = np.arange(params.states) * params.rows_per_state
        self._check()

    def __len__(self) -> int:
        return len(self._starts)

    def batch(self, indices: Sequence[int], codecs: Codecs) -> XWamBatch:
        """Return the windows that begin at these indices."""
        parts = [self._window(i) for i in indices]

        def stacked(name: str) -> Tensor:
            return torch.from_numpy(np.stack([getattr(part, name) for part in parts]))

        clip = stacked("frames").permute(0, 2, 5, 1, 3, 4).float() / 127.5 - 1
        clip, depths = redrawn_deep(clip, stacked("depths").float().transpose(1, 2), self._looks)
        deep = depths[:, :, None].expand(-1, -1, 3, -1, -1, -1)
        latents, states = codecs.pictures.encode_clip(clip), stacked("states").float()
        text = torch.stack([self._texts[self._episodes[self._starts[i][0]].prompt] for i in indices])
        return XWamBatch(
            Observed(latents[:, :, :1], clip[:, :, :, 0], text, states[:, 0]),
            latents[:, :, 1:],
            stacked("actions").float(),
            states[:, 1:],
            codecs.depth.encode_clip(deep),
            stacked("rows_valid"),
            stacked("states_valid")[:, 1:],
            stacked("frames_valid"),
        )

    def _window(self, index: int) -> _Window:
        e, n = self._starts[index]
        episode, end = self._episodes[e], self._ends[e][n]
        last = len(episode.frames) - 1
        rows, frames = n + np.arange(self._params.horizon), n + self._frame_offsets
        states, shown = n + self._state_offsets, np.minimum(frames, last)
        shown_states = episode.states[np.minimum(states, last)]
        seen = strayed(shown_states[:1], self._maps.state, self._state_noise)
        later = (frames[1:].reshape(self._params.latent.frames - 1, -1) < end).any(axis=1)
        return _Window(
            episode.frames[shown],
            self._coding.forward(episode.depths_m[shown].astype(np.float64)),
            self._maps.state.forward(np.concatenate((seen, shown_states[1:]))),
            self._maps.action.forward(chunks(episode, np.array([n]), len(rows), self._relative, seen)[0]),
            rows < end,
            states < end,
            np.concatenate(([True], later)),
        )

    def _check(self) -> None:
        p = self._params
        expected = ((p.views, p.latent.picture_height, p.latent.picture_width, 3), p.proprio_dim, p.action_dim)
        for k, episode in enumerate(self._episodes):
            got = (episode.frames.shape[1:], episode.states.shape[1], episode.actions.shape[1])
            if got != expected:
                what = f"episode {k}: views, state and action sizes"
                raise DatasetError(mismatch(what, expected, got, "train a model of these sizes"))


def endless_deep(windows: DeepWindows, codecs: Codecs, batch_size: int, seed: int) -> Iterator[XWamBatch]:
    """Yield batches for ever: every window once in a random order, then again in another."""
    order = np.random.default_rng(seed)
    pending: list[int] = []
    while True:
        while len(pending) < batch_size:
            pending.extend(order.permutation(len(windows)).tolist())
        yield windows.batch(pending[:batch_size], codecs)
        del pending[:batch_size]
