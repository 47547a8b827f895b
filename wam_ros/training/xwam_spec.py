# SPDX-License-Identifier: Apache-2.0
"""What a training YAML of the family ``xwam`` says, and the run that it describes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from wam_ros.core.card import DepthCoding
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.models.text import hashed_text
from wam_ros.models.xwam.checkpoint import Codecs, load_codecs, load_model
from wam_ros.models.xwam.model import XWam, build
from wam_ros.models.xwam.params import XWamParams, sized
from wam_ros.models.xwam.views import PixelViews
from wam_ros.training.data import Normalisers, normalisers
from wam_ros.training.demonstrations import Demonstrations
from wam_ros.training.export import Provenance
from wam_ros.training.loop import Training
from wam_ros.training.options import TrainOptions
from wam_ros.training.start import maps_of, read_start, said, take_weights
from wam_ros.training.xwam_data import DeepEpisode, DeepWindows, endless_deep
from wam_ros.training.xwam_demonstrations import DeepMaterial, DeepSynthetic, deep_material
from wam_ros.training.xwam_export import export_xwam
from wam_ros.training.xwam_objective import XWamObjective, XWamObjectiveOptions

MOST_PICTURES = 2000


@dataclass(frozen=True)
class XWamSpec:
    """A model, its data and its training.

    Attributes:
        size, target, horizon, states, rate_hz, action_steps, video_steps: of the model.
        views, view_height, view_width: cameras and the size of each view.
        depth: how metres become its depth pictures.
        synthetic, demonstrations: the data, one of them.
        objective, options: how it is trained.
        execute_rows: rows that the policy will execute of each chunk.
        begin_with: checkpoint whose weights, ranges and codecs it begins with; empty for none.
    """

    name: str
    description: str
    family: Literal["xwam"]
    options: TrainOptions
    depth: DepthCoding
    begin_with: str = ""
    size: str = "tiny"
    synthetic: DeepSynthetic | None = None
    demonstrations: Demonstrations | None = None
    target: Literal["velocity", "x0"] = "x0"
    horizon: int = 16
    states: int = 5
    rate_hz: float = 10.0
    action_steps: int = 5
    video_steps: int = 20
    views: int = 3
    view_height: int = 64
    view_width: int = 80
    action_dim: int = 14
    execute_rows: int = 8
    objective: XWamObjectiveOptions = field(default_factory=XWamObjectiveOptions)

    def __post_init__(self) -> None:
        if (self.synthetic is None) == (self.demonstrations is None):
            expected = "either synthetic or demonstrations"
            raise ConfigError(mismatch(f"training {self.name}: data", expected, "none or both", "give one of them"))
        if self.size != "tiny":
            expected = "tiny"
            raise ConfigError(
                mismatch(f"training {self.name}: size", expected, self.size, "train it where it was made")
            )

    def params(self) -> XWamParams:
        """Return the model's parameters."""
        return sized(
            self.size, target=self.target, horizon=self.horizon, states=self.states, rate_hz=self.rate_hz,
            action_steps=self.action_steps, video_steps=self.video_steps, views=self.views,
            view_height=self.view_height, view_width=self.view_width,
            action_dim=self.action_dim, proprio_dim=self.action_dim,
        )  # fmt: skip

    def material(self, folder: Path) -> DeepMaterial:
        """Return what the model is trained on; decoded pictures are kept in a folder."""
        if self.demonstrations is not None:
            return deep_material(self.demonstrations, self.params(), self.execute_rows, folder)
        assert self.synthetic is not None
        return self.synthetic.material(self.params(), self.name)


def train_xwam(spec: XWamSpec, folder: Path, command: str = "", *, quiet: bool = False) -> list[dict[str, float]]:
    """Train, or go on training, and leave a checkpoint in the folder; returns the logged steps.

    Raises:
        ConfigError: a spec that does not describe a model or cannot be trained.
        DatasetError: demonstrations that do not fit.
    """
    torch.manual_seed(spec.options.seed)
    params, material = spec.params(), spec.material(folder)
    model = build(params)

    def anew() -> Normalisers:
        return normalisers(material.episodes, params.horizon, material.relative, material.state_noise)

    if spec.begin_with:
        codecs, maps = _take(spec, model, material, anew)
    else:
        codecs, maps = fitted(material.episodes, params, spec.depth), anew()

    def embed(text: str) -> torch.Tensor:
        return hashed_text(text, params.text_length, params.dit.text_dim)[0]

    seen = material.state_noise, material.relative, material.looks, material.turns
    windows = DeepWindows(material.episodes, params, maps, spec.depth, embed, *seen)
    training = Training(XWamObjective(model, spec.objective, embed("")), spec.options, folder)
    batches = endless_deep(windows, codecs, spec.options.batch_size, spec.options.seed + training.step)
    trained = training.run(batches, quiet=quiet)
    provenance = Provenance(
        spec.size, material.state, material.action, material.mosaic, "{task}", spec.execute_rows, "Apache-2.0",
        f"{material.source}{said(spec.begin_with)}", command, demonstration_jerk_rms=material.jerk_rms,
    )  # fmt: skip
    export_xwam(folder, params, trained.state_dict(), codecs, maps, provenance, spec.depth)
    return training.metrics


def _take(
    spec: XWamSpec, model: XWam, material: DeepMaterial, anew: Callable[[], Normalisers]
) -> tuple[Codecs, Normalisers]:
    """Give a model a checkpoint's weights; returns its codecs and ranges."""
    vectors = {"state": material.state, "mosaic": material.mosaic}
    wanted = {"family": "xwam", "horizon": spec.horizon, "rate_hz": spec.rate_hz, "depth": spec.depth, **vectors}
    begun, card = read_start(spec.begin_with, wanted)
    take_weights(model, load_model(begun, card), begun)
    return load_codecs(begun, card), maps_of(card, material.action, anew, begun)


def fitted(episodes: Sequence[DeepEpisode], params: XWamParams, coding: DepthCoding) -> Codecs:
    """Return pixel codecs with the mean pictures of the episodes, evenly chosen."""
    every = max(1, sum(len(episode.frames) for episode in episodes) // MOST_PICTURES)
    frames = np.concatenate([episode.frames[::every] for episode in episodes])
    depths = np.concatenate([episode.depths_m[::every] for episode in episodes]).astype(np.float64)
    pictures, depth = PixelViews(params), PixelViews(params)
    pictures.fit(torch.from_numpy(frames).movedim(-1, 2).float() / 127.5 - 1)
    deep = torch.from_numpy(coding.forward(depths)).float()
    depth.fit(deep[:, :, None].expand(-1, -1, 3, -1, -1))
    return Codecs(pictures, depth)
