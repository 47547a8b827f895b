# SPDX-License-Identifier: Apache-2.0
"""The Fast-WAM backend: stitched view and joints in, chunk out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wam_ros.core.card import check_card_fits
from wam_ros.core.errors import BackendError, ConfigError
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.types import Chunk, FloatArray, nanoseconds
from wam_ros.files.card import checkpoint_folder, read_card
from wam_ros.models.checkpoint import embed_prompt, load_codec, load_model
from wam_ros.models.fastwam import Observed
from wam_ros.models.guidance import PrefixGuide
from wam_ros.models.guided import Pull, sample_with_jacobian
from wam_ros.models.inference.engine import Engine
from wam_ros.models.inference.shortcuts import Shortcuts
from wam_ros.models.latent import to_picture
from wam_ros.models.sampling import Prefix, noise_for
from wam_ros.policies.base import Request, example_request
from wam_ros.policies.chunking import ChunkingOptions, CommittedRows, committed_prefix
from wam_ros.policies.layouts import layout_of

WARM_UP_RUNS = 3
"""Compiling, recording graphs, and then one run at full speed."""


class FastWam:
    """A Fast-WAM checkpoint of any size and variant behind the backend protocol.

    Options of the policy YAML: ``device`` (cpu, cuda; default what there is), ``precision`` (float32,
    bfloat16), ``fp8``, ``reference`` (no shortcuts), and those of :class:`ChunkingOptions`.
    """

    def load(self, policy: Policy, robot: Robot, task: Task) -> None:
        """Read card and weights, check them, and build the engine.

        Raises:
            ConfigError: what disagrees, and the remedy.
        """
        self._policy, self._robot, self._task = policy, robot, task
        self._folder = checkpoint_folder(policy)
        self._card = read_card(self._folder)
        check_card_fits(self._card, policy, robot)
        self._chunking = ChunkingOptions.of(policy.options, self._card)
        self._state = layout_of(self._card.state, robot)
        self._action = layout_of(self._card.action, robot)
        self._engine = self._build()
        self._noise = noise_for(self._engine.model, self._card.seed)
        self._said = ""
        self._say(task.instruction)

    def example_request(self) -> Request:
        """Return a request of the right shapes."""
        return example_request(self._policy, self._robot, self._task)

    def warm_up(self) -> None:
        """Compile and record everything that ``infer`` will run."""
        for _ in range(WARM_UP_RUNS):
            self.infer(self.example_request())

    def infer(self, request: Request) -> Chunk:
        """See :class:`wam_ros.policies.base.Backend`."""
        joints = np.asarray(request.observation.joints.position)
        if not np.isfinite(joints).all():
            raise BackendError("fastwam: the observed joints hold NaN; the joint driver must be looked at")
        self._say(request.instruction)
        committed = committed_prefix(request, self._policy, self._chunking.fade)
        begin_s, joints = self._begin(request, joints, committed)
        proprio = self._normalised(self._card.state_normaliser.forward(self._state.state(joints)))
        latent = self._engine.model.params.latent
        # The mosaic may be a read-only view into a message.
        mosaic = torch.from_numpy(np.array(request.mosaic))[None].to(self._device)
        picture = to_picture(mosaic, latent.picture_height, latent.picture_width)
        normalised = self._sample(picture, proprio, committed, joints)
        rows = self._card.action_normaliser.inverse(normalised[0].double().cpu().numpy())
        if not np.isfinite(rows).all():
            raise BackendError("fastwam: the model answered NaN; check the checkpoint and its precision")
        return self._chunk(request, self._action.positions(rows, joints), begin_s)

    def reset(self) -> None:
        """Nothing is kept from chunk to chunk but what motion has committed."""

    def close(self) -> None:
        """Free the model."""
        self.__dict__.pop("_engine", None)

    # -- building ----------------------------------------------------------------------------

    def _build(self) -> Engine:
        options = self._policy.options
        device = str(options.get("device", "cuda" if torch.cuda.is_available() else "cpu"))
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigError(
                "policy option device: expected a CUDA device, got none here; choose cpu or another machine"
            )
        self._device = torch.device(device)
        dtype = torch.bfloat16 if options.get("precision", self._default_precision) == "bfloat16" else torch.float32
        model = load_model(self._folder, self._card, self._device, dtype)
        self._codec = load_codec(self._folder, self._card, self._device, dtype)
        shortcuts = Shortcuts.none() if options.get("reference") else Shortcuts.for_device(self._device)
        if options.get("fp8"):
            shortcuts = Shortcuts(**{**vars(shortcuts), "fp8": True})
        self._guide = self._make_guide(model.params.action_dim)
        trained = self._chunking.kind == "trained"
        return Engine(model, self._codec.encode, shortcuts=shortcuts, guide=self._guide, with_prefix=trained)

    @property
    def _default_precision(self) -> str:
        return "bfloat16" if self._device.type == "cuda" else "float32"

    def _make_guide(self, action_dim: int) -> PrefixGuide | None:
        c = self._chunking
        if c.kind not in {"inpaint", "guided"} or c.jacobian == "vjp":
            return None
        shape = (1, self._policy.horizon, action_dim)
        return PrefixGuide(shape, c.largest if c.kind == "guided" else None, c.prior_deviation, self._device)

    # -- one inference -----------------------------------------------------------------------

    def _say(self, instruction: str) -> None:
        if instruction != self._said:
            self._text = embed_prompt(self._folder, self._card, instruction).to(self._device)
            self._engine.ask(self._text)
            self._said = instruction

    def _begin(self, request: Request, joints: FloatArray, committed: CommittedRows | None) -> tuple[float, FloatArray]:
        """Return when the first row counts from, after the observation [s], and the joints at that time."""
        if self._chunking.kind != "rollforward" or committed is None or not committed.frozen.any():
            return 0.0, joints
        rows = int(committed.frozen.sum())
        return rows / self._policy.rate_hz, committed.positions[rows - 1]

    def _sample(self, picture: Tensor, proprio: Tensor, committed: CommittedRows | None, joints: FloatArray) -> Tensor:
        """Return normalised rows (1, K, A) that continue what is committed, as far as the options say."""
        if self._guide is not None:
            self._guide.release()
        if committed is None or self._chunking.kind in {"none", "rollforward"}:
            return self._engine.act(picture, proprio, self._noise).actions
        rows = self._normalised(self._card.action_normaliser.forward(self._action.rows(committed.positions, joints)))
        weight = torch.from_numpy(committed.weights).float().to(self._device)
        if self._chunking.kind == "trained":
            frozen = committed.frozen & (np.arange(self._policy.horizon) < self._card.prefix_rows)
            prefix = Prefix(rows, torch.from_numpy(frozen)[None].to(self._device))
            return self._engine.act(picture, proprio, self._noise, prefix).actions
        if self._guide is not None:
            self._guide.commit(rows, weight)
            return self._engine.act(picture, proprio, self._noise).actions
        pull = Pull(rows, weight[None, :, None], self._chunking.largest, self._chunking.prior_deviation)
        observed = Observed(self._codec.encode(picture), picture, self._text, proprio)
        return sample_with_jacobian(self._engine.model, observed, self._noise[0].to(self._device), pull)

    def _normalised(self, values: FloatArray) -> Tensor:
        return torch.from_numpy(np.asarray(values)).float()[None].to(self._device)

    def _chunk(self, request: Request, positions: FloatArray, begin_s: float) -> Chunk:
        rows = np.arange(1, len(positions) + 1) / self._policy.rate_hz
        offsets = tuple(nanoseconds(begin_s + float(t)) for t in rows)
        return Chunk(request.observation.stamp_ns, self._robot.joint_names, positions, offsets)
