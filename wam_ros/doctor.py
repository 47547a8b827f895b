# SPDX-License-Identifier: Apache-2.0
"""``wam doctor``: what this computer lacks, or what a robot's driver does otherwise, and the line that cures it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from wam_ros.core.errors import ConfigError, MissingDependencyError, WamError
from wam_ros.core.inspection import Finding, inspect
from wam_ros.core.requirements import PACKAGES, PIP, ROS, WHEELS, Package, cure
from wam_ros.environment import DDS_PROFILE, additions
from wam_ros.files.assets import find, load_robot

NODES = ("sim_robot", "policy", "motion", "safety")
#: Five processes with a segment of 64 MB each, and room for one graph that was killed.
SHARED_MEMORY_MB = 512


def examine() -> list[Finding]:
    """Look at everything a run needs; takes a few seconds."""
    looks: list[Callable[[], list[Finding]]] = [
        _python,
        _ros,
        _packages,
        _torchvision,
        _cameras,
        _graphics,
        _shared_memory,
        _transport,
        _domain,
    ]
    return [finding for look in looks for finding in look()]


def examine_robot(name: str, listen_s: float) -> list[Finding]:
    """Look at a running robot for some seconds: topics, types, rates, sizes, stamps, latencies, who else commands it.

    Raises:
        ConfigError: no such robot, or a simulated one.
    """
    robot = load_robot(name)
    if robot.simulated:
        raise ConfigError(
            f"robot {robot.name} is simulated and has no driver to look at; name a real one, or its double"
        )
    os.environ.update(additions(os.environ, simulated=False))
    from wam_ros.files.calibrated import latency_sources
    from wam_ros.realsense.inspection import seated
    from wam_ros.ros.inspecting import look

    late = [
        Finding(what, True, detail) for what, _, detail in (line.partition(": ") for line in latency_sources(robot))
    ]
    try:
        return [*inspect(robot, *look(robot, listen_s)), *seated(robot), *late]
    except MissingDependencyError as error:
        return [Finding("vendor's messages", False, f"robot {robot.name}", str(error))]


def show(findings: list[Finding]) -> None:
    """Print the findings, and after them the cures as lines to copy."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        table.add_row("[green]good[/]" if finding.ok else "[bold red]missing[/]", finding.what, escape(finding.detail))
    console.print(table)
    for finding in findings:
        if not finding.ok:
            console.print(f"{finding.what}: {finding.cure}", soft_wrap=True, markup=False)


def _python() -> list[Finding]:
    shown = ".".join(map(str, sys.version_info[:3]))
    return [Finding("Python", sys.version_info >= (3, 10), shown, "install Python 3.10 or later")]


def _ros() -> list[Finding]:
    if find_spec("rclpy") is None:
        return [Finding("ROS 2", False, "no module rclpy", ROS)]
    distribution = os.environ.get("ROS_DISTRO") or f"wheels, rclpy {_version('ros-rclpy') or _version('rclpy')}"
    lacking = [
        name for name in ("sensor_msgs", "trajectory_msgs", "diagnostic_msgs", "std_srvs") if not find_spec(name)
    ]
    shown = f"no {', '.join(lacking)}" if lacking else distribution
    return [Finding("ROS 2", not lacking, shown, f"rosdep install --from-paths . --ignore-src, or {WHEELS}")]


def _packages() -> list[Finding]:
    return [_optional(m, p) if p.serves else _needed(m, p) for m, p in PACKAGES.items()]


def _optional(module: str, package: Package) -> Finding:
    there = find_spec(module) is not None
    shown = _version(package.distribution) if there else f"not installed; for {package.serves}"
    return Finding(package.distribution, True, shown)


def _needed(module: str, package: Package) -> Finding:
    """Import it: a compiled package that is there may still lack a system library."""
    try:
        import_module(module)
    except ImportError as error:
        return Finding(package.distribution, False, str(error), cure(error) or package.installed_by)
    return Finding(package.distribution, True, _version(package.distribution) or "there")


def _torchvision() -> list[Finding]:
    """A torchvision built for another torch breaks the import of transformers and diffusers."""
    if find_spec("torchvision") is None:
        return []
    tried = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True, check=False)
    words = (tried.stderr.strip().splitlines() or ["imports"])[-1]
    return [
        Finding("torchvision", tried.returncode == 0, words, f"{PIP} uninstall torchvision (nothing here needs it)")
    ]


def _cameras() -> list[Finding]:
    if find_spec("pyrealsense2") is None:
        return []
    from wam_ros.realsense.inspection import plugged_in

    return plugged_in()


def _graphics() -> list[Finding]:
    from wam_ros.sim.graphics import REMEDY, choose_backend

    chosen = choose_backend()
    return [Finding("OpenGL without a display", chosen != "disabled", f"MUJOCO_GL={chosen}", REMEDY)]


def _shared_memory() -> list[Finding]:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return []
    if not os.access(folder, os.W_OK):
        return [Finding("shared memory", False, f"{folder} cannot be written", f"sudo chmod 1777 {folder}")]
    free_mb = shutil.disk_usage(folder).free // 2**20
    cure = "sudo mount -o remount,size=1g /dev/shm (in a container: docker run --shm-size=1g)"
    return [Finding("shared memory", free_mb >= SHARED_MEMORY_MB, f"{free_mb} MB free in {folder}", cure)]


def _transport() -> list[Finding]:
    """A profile that cannot be read is passed over in silence, and camera frames get lost."""
    environment = os.environ | additions(os.environ, simulated=True)
    findings = []
    for variable in DDS_PROFILE:
        path = environment[variable]
        findings.append(
            Finding(variable, Path(path).is_file(), path, f"export {variable}={find('config/fastdds.xml')}")
        )
    return findings


def _domain() -> list[Finding]:
    if find_spec("rclpy") is None:
        return []
    from wam_ros.ros.presence import domain_id, nodes_alive

    os.environ.update(additions(os.environ, simulated=True))
    try:
        alive = nodes_alive(NODES)
        cure = f"end the graph of {', '.join(alive)}, or choose another domain with ROS_DOMAIN_ID"
        return [Finding(f"ROS domain {domain_id()}", not alive, ", ".join(alive) or "nobody of ours is there", cure)]
    except WamError as error:
        return [Finding("ROS domain", False, str(error), "export ROS_DOMAIN_ID=0")]


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
