# SPDX-License-Identifier: Apache-2.0
"""What a training YAML says, and the run that it describes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
import torch

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.files.assets import find
from wam_ros.files.folders import require_place
from wam_ros.files.load import load_yaml
from wam_ros.models.checkpoint import load_codec, load_model, read_tensors
from wam_ros.models.fastwam import FastWam, build
from wam_ros.models.latent import PixelCodec
from wam_ros.models.params import FastWamParams, sized
from wam_ros.models.text import hashed_text
from wam_ros.training.data import Episode, Normalisers, Windows, endless, normalisers
from wam_ros.training.demonstrations import Demonstrations
from wam_ros.training.export import Provenance, export
from wam_ros.training.loop import Training
from wam_ros.training.material import Material, SyntheticData
from wam_ros.training.objective import Objective, ObjectiveOptions
from wam_ros.training.options import TrainOptions
from wam_ros.training.samples import PICTURE, draw_samples
from wam_ros.training.start import maps_of, read_start, said, take_weights
from wam_ros.training.xwam_spec import XWamSpec, train_xwam

MOST_PICTURES = 2000


@dataclass(frozen=True)
class TrainSpec:
    """A model, its data and its training.

    Attributes:
        size, variant, target, horizon, rate_hz, picture_height, picture_width: of the model.
        synthetic, demonstrations: the data, one of them.
        objective, options: how it is trained.
        execute_rows: rows that the policy will execute of each chunk.
        begin_with: checkpoint whose weights, ranges and codec it begins with; empty for none.
    """

    name: str
    description: str
    size: str
    options: TrainOptions
    family: Literal["fastwam"] = "fastwam"
    begin_with: str = ""
    synthetic: SyntheticData | None = None
    demonstrations: Demonstrations | None = None
    variant: Literal["main", "joint", "idm", "no_co_train", "optional_idm"] = "main"
    target: Literal["velocity", "x0"] = "x0"
    horizon: int = 16
    rate_hz: float = 10.0
    picture_height: int = 96
    picture_width: int = 80
    action_dim: int = 14
    execute_rows: int = 8
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)

    def __post_init__(self) -> None:
        if (self.synthetic is None) == (self.demonstrations is None):
            expected = "either synthetic or demonstrations"
            raise ConfigError(mismatch(f"training {self.name}: data", expected, "none or both", "give one of them"))

    def material(self, folder: Path) -> Material:
        """Return what the model is trained on; decoded pictures are kept in a folder."""
        if self.demonstrations is not None:
            return self.demonstrations.material(self.params(), self.execute_rows, folder)
        assert self.synthetic is not None
        return self.synthetic.material(self.params(), self.name)

    def params(self) -> FastWamParams:
        """Return the model's parameters."""
        return sized(
            self.size,
            variant=self.variant,
            target=self.target,
            horizon=self.horizon,
            rate_hz=self.rate_hz,
            picture_height=self.picture_height,
            picture_width=self.picture_width,
            action_dim=self.action_dim,
            proprio_dim=self.action_dim,
        )


def load_spec(name: str) -> TrainSpec | XWamSpec:
    """Return the training of a name in ``config/training``, or of a YAML path; its ``family`` says which."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else find(f"config/training/{name}.yaml")
    if load_yaml(path, dict).get("family") == "xwam":
        return load_yaml(path, XWamSpec)
    return load_yaml(path, TrainSpec)


def train(
    spec: TrainSpec | XWamSpec, folder: Path, command: str = "", *, quiet: bool = False
) -> list[dict[str, float]]:
    """Train, or go on training, and leave a checkpoint in the folder; returns the logged steps.

    Raises:
        ConfigError: a spec that does not describe a model or cannot be trained, or a folder that cannot be one.
        DatasetError: demonstrations that do not fit.
    """
    require_place(folder)
    if isinstance(spec, XWamSpec):
        return train_xwam(spec, folder, command, quiet=quiet)
    model, params, material, codec, maps, windows = _prepared(spec, folder)
    training = Training(Objective(model, spec.objective), spec.options, folder)
    batches = endless(windows, codec, spec.options.batch_size, spec.options.seed + training.step)
    trained = cast("FastWam", training.run(batches, quiet=quiet))
    export(folder, params, trained.state_dict(), codec, maps, _provenance(spec, material, command))
    draw_samples(trained, windows, codec, folder / PICTURE)
    return training.metrics


def show(spec: TrainSpec | XWamSpec, folder: Path) -> Path:
    """Draw what the weights that were saved last predict; returns the file. A training may go on meanwhile.

    Raises:
        ConfigError: no weights, those of another model, or of another family.
        DatasetError: demonstrations that do not fit.
    """
    if isinstance(spec, XWamSpec):
        raise ConfigError(mismatch("--samples: family", "fastwam", "xwam", "look at what it imagines in a run"))
    weights = {name: t.float() for name, t in read_tensors(folder).items() if not name.startswith("codec.")}
    prepared = _prepared(spec, folder)
    try:
        prepared.model.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigError(f"{folder}: holds the weights of another model; say the same as in training") from error
    draw_samples(prepared.model, prepared.windows, prepared.codec, folder / PICTURE)
    return folder / PICTURE


class _Prepared(NamedTuple):
    model: FastWam
    params: FastWamParams
    material: Material
    codec: PixelCodec
    maps: Normalisers
    windows: Windows


def _prepared(spec: TrainSpec, folder: Path) -> _Prepared:
    """Return all that a training begins with."""
    torch.manual_seed(spec.options.seed)
    params, material = spec.params(), spec.material(folder)
    model, episodes = build(params), material.episodes

    def anew() -> Normalisers:
        return normalisers(episodes, params.horizon, material.relative, material.state_noise)

    if spec.begin_with:
        codec, maps = _take(spec, model, material, anew)
    else:
        codec, maps = PixelCodec(params.latent), anew()
        codec.fit(_pictures(episodes))
    embed = lambda text: _embedded(text, params)  # noqa: E731
    seen = material.looks, material.mosaic.cells, material.turns
    windows = Windows(episodes, params, maps, embed, material.state_noise, material.relative, *seen)
    return _Prepared(model, params, material, codec, maps, windows)


def _take(
    spec: TrainSpec, model: FastWam, material: Material, anew: Callable[[], Normalisers]
) -> tuple[PixelCodec, Normalisers]:
    """Give a model a checkpoint's weights; returns its codec and ranges."""
    vectors = {"state": material.state, "mosaic": material.mosaic}
    wanted = {"family": "fastwam", "horizon": spec.horizon, "rate_hz": spec.rate_hz, **vectors}
    begun, card = read_start(spec.begin_with, wanted)
    codec = load_codec(begun, card)
    if not isinstance(codec, PixelCodec):
        raise ConfigError(mismatch(f"training from {begun}: codec", "pixels", "wan_vae", "train it where it was made"))
    take_weights(model, load_model(begun, card), begun)
    return codec, maps_of(card, material.action, anew, begun)


def _pictures(episodes: Sequence[Episode]) -> torch.Tensor:
    """Return pictures (N, 3, H, W) of all episodes for statistics, evenly chosen."""
    every = max(1, sum(len(episode.frames) for episode in episodes) // MOST_PICTURES)
    frames = np.concatenate([episode.frames[::every] for episode in episodes])
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def _embedded(prompt: str, params: FastWamParams) -> torch.Tensor:
    return hashed_text(prompt, params.text_length, params.video.text_dim)[0]


def _provenance(spec: TrainSpec, material: Material, command: str) -> Provenance:
    return Provenance(
        spec.size, material.state, material.action, material.mosaic, "{task}", spec.execute_rows, "Apache-2.0",
        f"{material.source}{said(spec.begin_with)}", command, prefix_rows=spec.objective.prefix_rows, demonstration_jerk_rms=material.jerk_rms,
    )  # fmt: skip
