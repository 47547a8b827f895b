# SPDX-License-Identifier: Apache-2.0
"""Play a graph as processes of this computer, without ``ros2 launch``.

Each node is a process in a group of its own, so Ctrl-C reaches the runner alone and the nodes end in
order. A required node that ends stops all others and is named.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType

import yaml

from wam_ros.core.errors import WamError
from wam_ros.files.packages import program
from wam_ros.graph import NodeSpec
from wam_ros.ros.orphan import RUNNER_PID
from wam_ros.shared_memory import remove_abandoned, segments_of

# What is sent to end a node, and how long it may take [s]; an inference that runs is waited for.
ENDINGS = ((signal.SIGINT, 5.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0))

SAMPLE_S = 1.0
# Exit code of a node that was told something wrong.
MISTAKE = 2


class NodeEndedError(WamError):
    """A required node that has ended by itself.

    Attributes:
        node: its name.
        exit_code: what it ended with; 2 is a user's mistake, negative a signal.
    """

    def __init__(self, node: str, exit_code: int, log: Path) -> None:
        self.node, self.exit_code = node, exit_code
        how = f"was ended by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with code {exit_code}"
        super().__init__(f"node {node} {how}: {_last_words(log)} (log: {log})")


def command(spec: NodeSpec, params_file: Path) -> list[str]:
    """Return the command line of a node; parameters travel as a file because ``-p`` re-reads strings as numbers."""
    remaps = [("__node", spec.name), *spec.remaps]
    arguments = [word for a, b in remaps for word in ("-r", f"{a}:={b}")]
    ours = [sys.executable, "-m", "wam_ros", "node", spec.target]
    start = ours if spec.package == "wam_ros" else [str(program(spec.package, spec.target)), *spec.arguments]
    return [*start, "--ros-args", *arguments, "--params-file", str(params_file)]


def params_yaml(spec: NodeSpec) -> str:
    """Return the parameter file of a node."""
    return yaml.safe_dump({"/**": {"ros__parameters": dict(spec.params)}}, sort_keys=True)


def peak_memory_kb(pid: int) -> int:
    """Return the largest resident memory of a process so far.

    The kernel's count for children (``getrusage``) would start with the memory of the process that forked it.

    Raises:
        OSError: the process is gone.
    """
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


@dataclass
class _Child:
    spec: NodeSpec
    process: subprocess.Popen[bytes]
    log: Path
    peak_kb: int = 0
    segments: frozenset[Path] = frozenset()

    def sample(self) -> None:
        """Keep the peak memory and the shared memory of the process, while it still has them."""
        with suppress(OSError):
            self.peak_kb = max(self.peak_kb, peak_memory_kb(self.process.pid))
            self.segments |= segments_of(Path(f"/proc/{self.process.pid}/maps"))


class Runner:
    """The processes of one graph; a context manager that ends them all.

    Args:
        specs: the graph.
        folder: gets ``nodes/NAME.yaml`` (parameters) and ``nodes/NAME.log`` of each node.
        environment: of every process.
    """

    def __init__(self, specs: Sequence[NodeSpec], folder: Path, environment: Mapping[str, str]) -> None:
        self._specs = tuple(specs)
        self._folder = folder / "nodes"
        self._environment = {**environment, RUNNER_PID: str(os.getpid()), "ROS_LOG_DIR": str(self._folder / "ros")}
        self._children: list[_Child] = []
        self._sampled_s = 0.0
        self.lost: NodeEndedError | None = None

    def __enter__(self) -> Runner:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            for spec in self._specs:
                self._children.append(self._start(spec))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Process of each node."""
        return {child.spec.name: child.process.pid for child in self._children}

    @property
    def exit_codes(self) -> dict[str, int | None]:
        """What each node ended with; None while it runs."""
        return {child.spec.name: child.process.poll() for child in self._children}

    @property
    def segments(self) -> frozenset[Path]:
        """Shared memory that the nodes were seen to hold, their neighbours' included."""
        return frozenset().union(*(child.segments for child in self._children))

    @property
    def peak_memory_mb(self) -> dict[str, float]:
        """Largest resident memory of each node, and of this process, so far [MB]."""
        ours = {"operator": round(peak_memory_kb(os.getpid()) / 1024, 1)}
        return ours | {child.spec.name: round(child.peak_kb / 1024, 1) for child in self._children}

    def check(self) -> None:
        """See that the required nodes are alive, and the others not refused; cheap, to be called often.

        Raises:
            NodeEndedError: naming the node that is gone.
        """
        for child in self._children:
            code = child.process.poll()
            if code is not None and (child.spec.required or code == MISTAKE):
                self.lost = NodeEndedError(child.spec.name, code, child.log)
                raise self.lost
        if monotonic() - self._sampled_s > SAMPLE_S:
            self.sample()

    def stop(self) -> None:
        """End every node: ask, insist, kill. A further Ctrl-C goes on to the next step at once."""
        self.sample()
        for number, patience_s in ENDINGS:
            with suppress(KeyboardInterrupt):
                self._send(number)
                if self._gone_within(patience_s):
                    break
        if any(child.process.returncode not in (0, 2) for child in self._children):
            remove_abandoned(self.segments)

    def _start(self, spec: NodeSpec) -> _Child:
        params_file, log = self._folder / f"{spec.name}.yaml", self._folder / f"{spec.name}.log"
        params_file.write_text(params_yaml(spec), encoding="utf-8")
        with log.open("wb") as output:
            process = subprocess.Popen(
                command(spec, params_file),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return _Child(spec, process, log)

    def sample(self) -> None:
        """Keep what only a living process shows: its memory, and the shared memory it holds."""
        self._sampled_s = monotonic()
        for child in self._children:
            child.sample()

    def _send(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(child.process.pid, number)

    def _gone_within(self, patience_s: float) -> bool:
        deadline = monotonic() + patience_s
        for child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - monotonic()))
        return all(child.process.returncode is not None for child in self._children)


def _last_words(log: Path) -> str:
    """Return the sentence a node ended with: its fatal message, else its last line."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith("[FATAL]")]
    if fatal:
        return fatal[-1].split("]: ", 1)[-1]
    return lines[-1] if lines else "it said nothing"
