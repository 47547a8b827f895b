# SPDX-License-Identifier: Apache-2.0
"""The package as it is installed: from a wheel, and by colcon into a ROS workspace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from wam_ros.graph import PROGRAMS

REPOSITORY = Path(__file__).parents[2]
COLCON = Path(sys.executable).parent / "colcon"
#: Under ``colcon test`` these name the installed workspace, which a wheel must not find instead of itself.
ALONE = {"PYTHONPATH": "", "AMENT_PREFIX_PATH": ""}
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", "build", "install", "log", "runs", "*.egg-info", ".*_cache", "__pycache__"
)


def called(*words: object, folder: Path, **environment: str) -> str:
    """Output of a command that succeeds."""
    done = subprocess.run(
        [*map(str, words)],
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of the repository: building leaves traces."""
    return shutil.copytree(REPOSITORY, tmp_path_factory.mktemp("source") / "wam_ros", ignore=NOT_SOURCE)


@pytest.fixture(scope="module")
def environment(source, tmp_path_factory) -> Path:
    """A virtual environment with our wheel in it and everything else from this one."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    called(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source, folder=folder)
    venv.create(folder / "venv")
    python = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("wam_ros-*.whl")
    called(*pip, "--python", python, "install", "--no-deps", "--no-compile", wheel, folder=folder, **ALONE)
    paths = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    packages = Path(sysconfig.get_path("purelib", vars=paths))
    neighbours = sysconfig.get_path("purelib")
    (packages / "neighbours.pth").write_text(f"import site; site.addsitedir({neighbours!r})\n")
    return folder / "venv"


@pytest.fixture(scope="module")
def workspace(source, tmp_path_factory) -> Path:
    """A workspace in which colcon has built the package."""
    if not COLCON.exists():
        pytest.skip("colcon is not installed here")
    folder = tmp_path_factory.mktemp("workspace")
    called(
        COLCON, "build", "--base-paths", source, folder=folder, PATH=f"{COLCON.parent}{os.pathsep}{os.environ['PATH']}"
    )
    return folder


def sourced(workspace: Path, command: str, folder: Path) -> str:
    return called("bash", "-c", f". {workspace}/install/setup.bash && {command}", folder=folder)


def test_a_wheel_brings_its_configuration_with_it(environment, tmp_path):
    wam = environment / "bin" / "wam"
    said = called(wam, "list", folder=tmp_path, **ALONE)
    assert all(word in said for word in ("sim_r1_lite", "towel_fold", "expert", *PROGRAMS))
    assert called(wam, "check", "robot", "sim_r1_lite", folder=tmp_path, **ALONE).endswith("good\n")
    where = "import wam_ros; from wam_ros.files.assets import find; print(wam_ros.__file__, find('urdf'))"
    found = called(environment / "bin" / "python", "-c", where, folder=tmp_path, **ALONE).split()
    assert all(path.startswith(str(environment)) for path in found)


def test_a_wheel_holds_every_file_that_is_not_code(environment):
    def others(package: Path) -> set[str]:
        files = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path.relative_to(package)) for path in files if path.suffix not in (".py", ".pyc")}

    (installed,) = environment.glob("lib/python*/site-packages/wam_ros")
    assert others(installed) == others(REPOSITORY / "wam_ros")


def test_a_wheel_knows_its_backends(environment, tmp_path):
    code = "from importlib.metadata import entry_points; print(sorted(e.name for e in entry_points(group='wam_ros.backends')))"
    assert "'expert'" in called(environment / "bin" / "python", "-c", code, folder=tmp_path, **ALONE)


def test_colcon_installs_one_executable_for_each_node_and_the_command_line(workspace):
    executables = {path.name for path in (workspace / "install" / "wam_ros" / "lib" / "wam_ros").iterdir()}
    assert executables == {*PROGRAMS, "wam"}


def test_colcon_installs_everything_that_a_ros_tool_looks_for(workspace):
    share = workspace / "install" / "wam_ros" / "share"
    assert (share / "ament_index" / "resource_index" / "packages" / "wam_ros").is_file()
    for folder in ("config", "launch", "urdf"):
        shipped = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / folder).rglob("*") if path.is_file()}
        installed = share / "wam_ros"
        assert {name for name in shipped if "__pycache__" not in name} <= {
            str(path.relative_to(installed)) for path in installed.rglob("*")
        }


def test_the_command_line_works_from_a_workspace(workspace, tmp_path):
    wam = workspace / "install" / "wam_ros" / "lib" / "wam_ros" / "wam"
    said = sourced(workspace, f"{wam} list && {sys.executable} -c 'import wam_ros; print(wam_ros.__file__)'", tmp_path)
    assert "sim_r1_lite" in said
    assert said.splitlines()[-1].startswith(str(workspace))


def test_a_node_runs_from_a_workspace_as_ros2_run_starts_it(workspace, tmp_path):
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    node = workspace / "install" / "wam_ros" / "lib" / "wam_ros" / "safety"
    command = f". {workspace}/install/setup.bash && exec {node} --ros-args -p robot:=sim_r1_lite -p task:=x"
    with subprocess.Popen(["bash", "-c", command], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        _, complained = process.communicate(timeout=240)
    assert process.returncode == 2
    assert "safety: parameter: expected" in complained


def test_ci_runs_make_test():
    assert "make test" in (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(REPOSITORY / ".ci" / "run", os.X_OK)
