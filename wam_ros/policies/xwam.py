# SPDX-License-Identifier: Apache-2.0
"""The X-WAM backend: views and joints in, chunk out; and, for whoever looks, the RGB-D future it leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from wam_ros.core.card import check_card_fits
from wam_ros.core.errors import BackendError, ConfigError, mismatch
from wam_ros.core.imagination import Imagination
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.stitch import unstitch
from wam_ros.core.task import Task
from wam_ros.core.types import Chunk, FloatArray, nanoseconds
from wam_ros.files.card import checkpoint_folder, read_card
from wam_ros.models.xwam.checkpoint import embed_prompt, load_codecs, load_model
from wam_ros.models.xwam.engine import Engine
from wam_ros.models.xwam.sampling import Imagined, Mode, Plan, Progress, Samples, noise_for
from wam_ros.models.xwam.shortcuts import Shortcuts
from wam_ros.models.xwam.views import to_views
from wam_ros.policies.base import Request, example_request
from wam_ros.policies.imagining import Painter
from wam_ros.policies.priority import lanes_of
from wam_ros.policies.steps import PoseSteps, Shortfall, action_layout_of, state_layout_of

WARM_UP_RUNS = 2
IMAGINE = ("joint", "committed")


class XWam:
    """An X-WAM checkpoint of any size behind the backend protocol; it can imagine, see :class:`Imaginative`.

    Options of the policy YAML: ``device`` (cpu, cuda; default what there is), ``precision`` (float32, bfloat16),
    ``reference`` (no shortcuts), and ``imagine``: ``joint`` goes on with the denoising that made the chunk,
    ``committed`` shows what motion is going to execute.
    """

    imagining = False
    _shortfall = Shortfall()

    def load(self, policy: Policy, robot: Robot, task: Task) -> None:
        """Read card and weights, check them, and build the engine.

        Raises:
            ConfigError: what disagrees, and the remedy.
        """
        self._policy, self._robot, self._task = policy, robot, task
        folder = self._folder = checkpoint_folder(policy)
        self._card = read_card(folder)
        check_card_fits(self._card, policy, robot)
        self._imagines = _choice(policy)
        self._state = state_layout_of(self._card.state, robot)
        self._action = action_layout_of(self._card.action, robot, self._card.rate_hz)
        self._engine = self._build()
        self._running: Iterator[Progress] | None = None
        self._said = ""
        self._say(task.instruction)

    def example_request(self) -> Request:
        """Return a request of the right shapes."""
        return example_request(self._policy, self._robot, self._task)

    def warm_up(self) -> None:
        """Run everything that ``infer`` will run."""
        for _ in range(WARM_UP_RUNS):
            self.infer(self.example_request())

    def figures(self) -> dict[str, float]:
        """See :class:`wam_ros.policies.base.Telling`: what of the last chunk's poses the arms cannot do."""
        short = self._shortfall
        return {
            "rows_unreached": short.rows_unreached,
            "rows_slowed": short.rows_slowed,
            "unreached_mm": 1e3 * short.worst_m,
        }

    def infer(self, request: Request) -> Chunk:
        """See :class:`wam_ros.policies.base.Backend`."""
        joints = np.asarray(request.observation.joints.position)
        if not np.isfinite(joints).all():
            raise BackendError("xwam: the observed joints hold NaN; the joint driver must be looked at")
        self._say(request.instruction)
        self._request, self._running = request, None
        with self._lanes.ahead():
            self._engine.look(self._pictures(request), self._normalised_state(joints)[None])
        rows = self._act()
        if not np.isfinite(rows).all():
            raise BackendError("xwam: the model answered NaN; check the checkpoint and its precision")
        offsets = tuple(nanoseconds(k / self._policy.rate_hz) for k in range(1, len(rows) + 1))
        positions = self._action.positions(rows, joints)
        if isinstance(self._action, PoseSteps):
            self._shortfall = self._action.shortfall
        self._path = np.vstack((joints, positions))
        return Chunk(request.observation.stamp_ns, self._robot.joint_names, positions, offsets)

    def imagine(self, cancelled: Callable[[], bool]) -> Imagination | None:
        """See :class:`wam_ros.policies.base.Imaginative`."""
        running, self._running = self._running, None
        if running is None:
            return None
        if self._imagines == "committed":
            running = self._follow_committed()
        imagined: Imagined | None = None
        with self._lanes.behind() as finish:
            while not cancelled():
                progress = next(running, None)
                if progress is None:
                    break
                imagined = progress.imagined
                finish()
            if imagined is None or cancelled():
                return None
            return self._painter.paint(self._request.observation.stamp_ns, self._path, self._engine.latent, imagined)

    def reset(self) -> None:
        """Drop what was being imagined."""
        self._running = None

    def close(self) -> None:
        """Free the model."""
        for name in ("_engine", "_running", "_painter"):
            self.__dict__.pop(name, None)

    # -- building ----------------------------------------------------------------------------

    def _build(self) -> Engine:
        options = self._policy.options
        device = str(options.get("device", "cuda" if torch.cuda.is_available() else "cpu"))
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigError(
                "policy option device: expected a CUDA device, got none here; choose cpu or another machine"
            )
        self._device = torch.device(device)
        self._lanes = lanes_of(self._device)
        half = "bfloat16" if self._device.type == "cuda" else "float32"
        dtype = torch.bfloat16 if options.get("precision", half) == "bfloat16" else torch.float32
        model = load_model(self._folder, self._card, self._device, dtype)
        codecs = load_codecs(self._folder, self._card, self._device, dtype)
        noise = noise_for(model.sizes, self._card.seed)
        self._noise = Samples(*(part.to(self._device) for part in noise))
        self._painter = Painter(self._card, model.sizes, codecs)
        shortcuts = Shortcuts.none() if options.get("reference") else Shortcuts()
        return Engine(model, codecs.pictures.encode_clip, shortcuts)

    # -- one inference -----------------------------------------------------------------------

    def _say(self, instruction: str) -> None:
        if instruction != self._said:
            self._engine.ask(embed_prompt(self._folder, self._card, instruction).to(self._device))
            self._said = instruction

    def _plan(self, mode: Mode) -> Plan:
        return Plan.of(self._engine.model.sizes, mode)

    def _pictures(self, request: Request) -> Tensor:
        views = unstitch(self._card.mosaic, request.mosaic)
        pictures = np.stack([views[cell.camera] for cell in self._card.mosaic.cells])
        return to_views(torch.from_numpy(pictures)[None].to(self._device), self._engine.model.sizes)

    def _normalised_state(self, joints: FloatArray) -> Tensor:
        return self._tensor(self._card.state_normaliser.forward(self._state.state(joints)))

    def _tensor(self, values: FloatArray) -> Tensor:
        return torch.from_numpy(np.asarray(values)).float().to(self._device)

    def _act(self) -> FloatArray:
        """Return the rows (K, A) of what was looked at, in the card's units; keep the rest for who looks on."""
        with self._lanes.ahead():
            running = self._engine.run(self._noise, self._plan("joint" if self.imagining else "policy"))
            acted = next(progress.acted for progress in running if progress.acted)
            normalised = acted.actions[0].double().cpu().numpy()
        self._running = running if self.imagining else None
        return self._card.action_normaliser.inverse(normalised)

    def _follow_committed(self) -> Iterator[Progress]:
        """Denoise the video of what motion will execute, held after its end; without it, of standing still."""
        joints, committed = np.asarray(self._request.observation.joints.position), self._request.committed
        p = self._engine.model.sizes
        ahead = joints[None] if committed is None or not committed.times_ns else committed.positions
        path = ahead[np.minimum(np.arange(p.horizon), len(ahead) - 1)]
        self._path = np.vstack((joints, path))
        rows = self._tensor(self._card.action_normaliser.forward(self._action.rows(path, joints)))
        states = torch.stack([self._normalised_state(row) for row in path[p.rows_per_state - 1 :: p.rows_per_state]])
        return self._engine.run(Samples(self._noise.video, rows[None], states[None]), self._plan("imagine"))


def _choice(policy: Policy) -> str:
    chosen = str(policy.options.get("imagine", "joint"))
    if chosen not in IMAGINE:
        raise ConfigError(mismatch("policy option imagine", " or ".join(IMAGINE), repr(chosen), "choose one"))
    if policy.options.get("chunking", "none") != "none":
        got = policy.options["chunking"]
        raise ConfigError(mismatch("policy option chunking", "none", got, "this family has no other yet; leave it out"))
    return chosen
