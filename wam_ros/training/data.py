# SPDX-License-Identifier: Apache-2.0
"""From episodes to batches: windows of frames and rows, normalised as the card says.

An episode is anything that can give (frames, states, actions, prompt) at the policy's rate. ``actions[n]`` is
the target that was commanded at frame n, to be reached one period later, so it is row 0 of the chunk of
frame n. After the end of an episode its last row and frame are repeated and masked out of the loss; so is what
nobody can foresee at frame n (``examples.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wam_ros.core.card import Normaliser
from wam_ros.core.errors import DatasetError, mismatch
from wam_ros.core.policy import Cell
from wam_ros.core.types import FloatArray
from wam_ros.models.fastwam import Observed
from wam_ros.models.latent import Codec
from wam_ros.models.params import FastWamParams
from wam_ros.training.examples import places
from wam_ros.training.looks import AS_RECORDED, Looks, redrawn
from wam_ros.training.objective import Batch


@dataclass(frozen=True)
class Episode:
    """One demonstration at the policy's rate.

    Attributes:
        frames: (N, H, W, 3) uint8 mosaics at the model's picture size.
        states: (N, P) in the card's state layout.
        actions: (N, A) in the card's action layout.
        prompt: the whole prompt, template applied.
        examples: (N,) bool, False where the demonstrator erred (``examples.py``); None: nowhere.
    """

    frames: NDArray[np.uint8]
    states: NDArray[np.float64]
    actions: NDArray[np.float64]
    prompt: str
    examples: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.frames), len(self.states), len(self.actions)}
        if len(lengths) != 1 or not len(self.frames):
            raise DatasetError(
                mismatch(
                    "episode", "as many states and actions as frames, at least one", sorted(lengths), "record it again"
                )
            )


class Normalisers(NamedTuple):
    """Maps of state and action, as on the card."""

    state: Normaliser
    action: Normaliser


class HasVectors(Protocol):
    """An episode of any kind."""

    @property
    def states(self) -> NDArray[np.float64]:
        """(N, P) in the card's state layout."""
        ...

    @property
    def actions(self) -> NDArray[np.float64]:
        """(N, A) in the card's action layout."""
        ...


def chunks(
    episode: HasVectors,
    starts: NDArray[np.int64],
    horizon: int,
    relative: Sequence[bool],
    seen: FloatArray | None = None,
) -> FloatArray:
    """Return (N, K, A) the rows of the windows that begin at (N,) rows; after the end the last one is repeated.

    Args:
        episode: to read.
        starts: rows.
        horizon: K.
        relative: (A,) True where a row is the difference to the state observed at the window's begin; () for nowhere.
        seen: (N, P) what is observed there; None: the states as recorded.
    """
    rows = np.minimum(starts[:, None] + np.arange(horizon), len(episode.actions) - 1)
    seen = episode.states[starts] if seen is None else seen
    begins = seen[:, None] * np.array(relative, dtype=np.float64) if relative else 0.0
    return np.asarray(episode.actions[rows] - begins)


def strayed(states: FloatArray, normaliser: Normaliser, deviation: float) -> FloatArray:
    """Return (N, P) states with noise of this normalised deviation, drawn anew from torch's generator.

    What is asked for stays where it is; so a model learns to come back from where it should not be.
    """
    if not deviation:
        return states
    noise = deviation * torch.randn(states.shape, dtype=torch.float64).numpy()
    return states + normaliser.inverse(noise) - normaliser.inverse(np.zeros_like(noise))


def z_scores(episodes: Sequence[HasVectors]) -> Normalisers:
    """Return z-score normalisers of all frames of all episodes."""
    states, actions = (np.concatenate([getattr(e, name) for e in episodes]) for name in ("states", "actions"))
    return Normalisers(z_score(states), z_score(actions))


def normalisers(
    episodes: Sequence[HasVectors], horizon: int, relative: Sequence[bool], state_noise: float = 0.0
) -> Normalisers:
    """Return z-scores; where rows are relative, quantiles of each row of all windows (see :func:`chunks`).

    Arms rest for most of the time, so a move is many deviations of a difference wide: z-scores would cut it off.
    And a difference grows along the chunk: with one map for all rows the first, which are executed, hardly count.
    What strays is led back by rows far wider than any that was demonstrated: the quantiles count them, too.
    """
    maps = z_scores(episodes)
    if not relative:
        return maps
    windows = (
        chunks(e, np.arange(len(e.actions)), horizon, relative, strayed(e.states, maps.state, state_noise))
        for e in episodes
    )
    rows = np.concatenate(list(windows))
    low, high = (tuple(map(tuple, bound.tolist())) for bound in np.quantile(rows, (0.01, 0.99), axis=0))
    return Normalisers(maps.state, Normaliser("quantile", low, high))


def z_score(values: NDArray[np.float64]) -> Normaliser:
    """Return the map of (N, A) values to zero mean and unit deviation."""
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    return Normaliser("z_score", tuple((mean - deviation).tolist()), tuple((mean + deviation).tolist()))


class Windows:
    """Random access to the windows of many episodes.

    Args:
        episodes: all of one robot and layout.
        params: picture size, horizon, latent frames.
        normalisers: of state and action.
        embed: prompt to (L, text_dim) text embedding; asked once for each prompt.
        state_noise: how far the observed state strays, see :func:`strayed`.
        relative: (A,) where rows are differences to the observed state, see :func:`chunks`.
        looks: how much views look other than recorded.
        cells: where the views lie in a frame.
        turns: how often windows are drawn that begin right after an error (``examples.py``); others once.
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        params: FastWamParams,
        normalisers: Normalisers,
        embed: Callable[[str], Tensor],
        state_noise: float = 0.0,
        relative: Sequence[bool] = (),
        looks: Looks = AS_RECORDED,
        cells: Sequence[Cell] = (),
        turns: int = 1,
    ) -> None:
        self._looks, self._cells = looks, tuple(cells)
        self._episodes, self._params, self._maps = tuple(episodes), params, normalisers
        self._state_noise, self._relative = state_noise, tuple(relative)
        self._starts, self._ends = places(self._episodes, turns)
        self._texts = {prompt: embed(prompt) for prompt in {episode.prompt for episode in self._episodes}}
        self._frame_offsets = frame_offsets(params)
        self._check()

    def __len__(self) -> int:
        return len(self._starts)

    def batch(self, indices: Sequence[int], codec: Codec) -> Batch:
        """Return the windows that begin at these indices."""
        parts = [self._window(i) for i in indices]
        pictures = torch.from_numpy(np.stack([p[0] for p in parts])).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        pictures = redrawn(pictures, self._cells, self._looks)
        latents = codec.encode_clip(pictures)
        state, actions = (torch.from_numpy(np.stack([p[k] for p in parts])).float() for k in (1, 2))
        rows_valid, frames_valid = (torch.from_numpy(np.stack([p[k] for p in parts])) for k in (3, 4))
        text = torch.stack([self._texts[p[5]] for p in parts])
        observed = Observed(latents[:, :, :1], pictures[:, :, 0], text, state)
        return Batch(observed, latents[:, :, 1:], actions, rows_valid, frames_valid)

    def _window(self, index: int) -> tuple:  # type: ignore[type-arg]
        e, n = self._starts[index]
        episode, end = self._episodes[e], self._ends[e][n]
        last = len(episode.frames) - 1
        rows = n + np.arange(self._params.horizon)
        frames = n + self._frame_offsets
        of_latent = frames[1:].reshape(self._params.latent.frames - 1, -1)
        seen = strayed(episode.states[[n]], self._maps.state, self._state_noise)
        return (
            episode.frames[np.minimum(frames, last)],
            self._maps.state.forward(seen[0]),
            self._maps.action.forward(chunks(episode, np.array([n]), len(rows), self._relative, seen)[0]),
            rows < end,
            # A latent frame is supervised unless all of its pictures are padding, as released.
            (of_latent < end).any(axis=1),
            episode.prompt,
        )

    def _check(self) -> None:
        p = self._params
        for k, episode in enumerate(self._episodes):
            shapes = (episode.frames.shape[1:], episode.states.shape[1], episode.actions.shape[1])
            expected = ((p.latent.picture_height, p.latent.picture_width, 3), p.proprio_dim, p.action_dim)
            if shapes != expected:
                raise DatasetError(
                    mismatch(
                        f"episode {k}: picture, state and action sizes",
                        expected,
                        shapes,
                        "train a model of these sizes",
                    )
                )


def frame_offsets(params: FastWamParams) -> NDArray[np.int64]:
    """Return which frames of a window are seen, in rows: the first, then evenly up to the horizon.

    A VAE folds four pictures into each later latent frame; the pixel codec has one.
    """
    pictures = (params.latent.frames - 1) * (4 if params.latent.codec == "wan_vae" else 1)
    return np.arange(pictures + 1) * params.horizon // pictures


def endless(windows: Windows, codec: Codec, batch_size: int, seed: int) -> Iterator[Batch]:
    """Yield batches for ever: every window once in a random order, then again in another."""
    order = np.random.default_rng(seed)
    pending: list[int] = []
    while True:
        while len(pending) < batch_size:
            pending.extend(order.permutation(len(windows)).tolist())
        yield windows.batch(pending[:batch_size], codec)
        del pending[:batch_size]
