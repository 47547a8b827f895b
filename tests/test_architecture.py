# SPDX-License-Identifier: Apache-2.0
"""The house rules that a machine can hold: directions of imports, sizes, names, docstrings. No exemptions."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from wam_ros.core.requirements import cure

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "wam_ros"
FILES = sorted(PACKAGE.rglob("*.py"))

# Which rooms of the package a room may import. A room may always import itself.
LIBRARY = {"core", "files", "vision", "kinematics", "models", "motion"}
ROOMS: dict[str, set[str]] = {
    "core": set(),
    "files": {"core"},
    "vision": {"core"},
    "kinematics": {"core", "files"},
    "models": {"core"},
    "motion": {"core"},
    "policies": LIBRARY,
    "teleoperation": LIBRARY,
    "training": LIBRARY,
    "sim": LIBRARY,
    "ros": LIBRARY,
    "realsense": {"core"},
    "arms": {"core"},
    "report": LIBRARY,
    "view": LIBRARY,
    "foresight": LIBRARY | {"policies"},
    "nodes": LIBRARY
    | {"policies", "teleoperation", "training", "calibration", "foresight", "sim", "ros", "report", "view", "graph"}
    | {"realsense", "arms"},
    "calibration": LIBRARY,
    "collect": LIBRARY | {"policies", "sim"},
    "bench": LIBRARY
    | {"policies", "training", "foresight", "sim", "ros", "nodes", "report", "graph", "runner", "environment"},
}
# Third-party modules that live in named rooms only; late imports inside functions count too.
HOMES: dict[str, set[str]] = {
    "torch": {"models", "policies", "training"},
    "cv2": {"vision"},
    "mujoco": {"sim"},
    "pinocchio": {"kinematics"},
    "coal": {"kinematics"},
    "ruckig": {"motion"},
    "rclpy": {"ros", "nodes", "bench"},
    "launch": {"launching"},
    "launch_ros": {"launching"},
    "viser": {"view"},
    "pyrealsense2": {"realsense"},
}
CORE_MAY_NOT = {"time", "threading", "asyncio", "os", "pathlib", "subprocess", "socket", "io", "random"}
BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}


def room_of(path: Path) -> str:
    """First folder below the package, or the module's own name for top-level modules."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imported(path: Path) -> frozenset[str]:
    return frozenset(imports(parsed(path)))


def for_every_file(law: Callable[[Path], None]) -> Callable[[], None]:
    """One test of what holds for each file: thousands of small ones would cost more than what they look at."""

    def test() -> None:
        broken = []
        for path in FILES:
            try:
                law(path)
            except AssertionError as fault:
                broken.append(f"{path.relative_to(ROOT)}: {fault}")
        assert not broken, "\n".join(broken)

    return test


@for_every_file
def test_imports_only_point_down_the_house(path):
    room = room_of(path)
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "wam_ros" and len(parts) > 1 and room in ROOMS and parts[1] != room:
            assert parts[1] in ROOMS[room], f"{room} must not import {name}"
        if parts[0] in HOMES:
            assert room in HOMES[parts[0]], f"{parts[0]} lives in {sorted(HOMES[parts[0]])}, not in {room}"
        if room == "core":
            assert parts[0] not in CORE_MAY_NOT, f"core is pure: it must not import {name}"


@for_every_file
def test_whatever_is_imported_and_not_installed_has_a_line_that_cures_it(path):
    for name in imported(path):
        top = name.partition(".")[0]
        if top != "wam_ros" and top not in sys.stdlib_module_names:
            assert cure(ModuleNotFoundError(name=top)), f"{top}: name its package in core/requirements.py"


@for_every_file
def test_a_file_is_one_room_and_a_function_one_thought(path):
    limit = 200 if room_of(path) == "nodes" else 300
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= limit, f"{lines} lines, at most {limit}"
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or 0) - node.lineno + 1
            assert size <= 50, f"{node.name} has {size} lines, at most 50"


@for_every_file
def test_names_say_what_they_hold(path):
    assert path.stem not in BANNED_NAMES
    assert path.parent.name not in BANNED_NAMES


@for_every_file
def test_no_robot_is_named_in_code(path):
    text = path.read_text(encoding="utf-8").lower()
    vendors = {"galaxea", "r1_lite", "r1lite", "ac_one", "arx"}
    robots = {p.stem for p in (ROOT / "config" / "robots").glob("*.yaml")}
    for name in sorted(vendors | robots):
        assert not re.search(rf"(?<![a-z]){re.escape(name)}(?![a-z])", text), (
            f"robots are data, but {name} stands in code"
        )


@for_every_file
def test_what_is_public_is_documented_and_annotated(path):
    tree = parsed(path)
    assert ast.get_docstring(tree), "the module has no docstring"
    for scope in [tree, *(n for n in tree.body if isinstance(n, ast.ClassDef))]:
        for node in scope.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            assert ast.get_docstring(node), f"{node.name} has no docstring"
            if isinstance(node, ast.FunctionDef):
                assert node.returns is not None, f"{node.name} has no return annotation"


@for_every_file
def test_every_file_carries_its_licence_line(path):
    assert path.read_text(encoding="utf-8").startswith("# SPDX-License-Identifier: Apache-2.0\n")


def test_no_intermediate_waypoints_are_sent_to_a_cloud_service():
    # ruckig's community edition computes intermediate waypoints by calling an outside service.
    for path in FILES:
        assert "intermediate_positions" not in path.read_text(encoding="utf-8")


def test_nothing_unpickles():
    """Only the error type of pickle may be named, to explain a refusal."""
    for path in FILES:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import):
                assert not {a.name.split(".")[0] for a in node.names} & {"pickle", "dill", "joblib", "shelve"}, path
            if isinstance(node, ast.ImportFrom) and node.module == "pickle":
                assert [a.name for a in node.names] == ["UnpicklingError"], path
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords), path
