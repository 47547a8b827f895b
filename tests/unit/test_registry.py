# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from wam_ros.core.errors import ConfigError, MissingDependencyError
from wam_ros.files.assets import load_policy, names
from wam_ros.policies import registry
from wam_ros.policies.hold import Hold
from wam_ros.policies.registry import BUILT_IN, GROUP, backends, create_backend


@pytest.fixture
def foreign(monkeypatch):
    """Installs entry points of other packages, and a module they lead to."""
    module = types.ModuleType("foreign_backend")
    monkeypatch.setitem(sys.modules, "foreign_backend", module)

    def install(**entries: str) -> types.ModuleType:
        points = tuple(EntryPoint(name, value, GROUP) for name, value in entries.items())
        monkeypatch.setattr(registry, "entry_points", lambda group: points if group == GROUP else ())
        return module

    return install


def test_a_built_in_name_gives_its_backend():
    assert isinstance(create_backend("hold"), Hold)


def test_every_shipped_policy_names_a_known_backend():
    for name in names("policies"):
        assert load_policy(name).backend in backends()


def test_setup_registers_the_same_backends_as_a_checkout_knows():
    text = (Path(__file__).parents[2] / "setup.py").read_text()
    block = re.search(rf'"{GROUP}": \[(.*?)\]', text, re.S)
    assert block is not None
    assert dict(re.findall(r'"(\w+) = ([\w.:]+)"', block[1])) == BUILT_IN


def test_an_unknown_name_lists_the_installed_ones():
    with pytest.raises(ConfigError, match=r"expected expert, fastwam, hold, xwam, got holt"):
        create_backend("holt")


def test_a_foreign_package_registers_by_its_entry_point(foreign):
    foreign(mine="foreign_backend:Mine").Mine = type("Mine", (Hold,), {})
    assert type(create_backend("mine")).__name__ == "Mine"


def test_a_name_that_two_packages_use_is_refused(foreign):
    foreign(hold="foreign_backend:Hold")
    with pytest.raises(ConfigError, match=r"hold: both wam_ros\S+ and foreign_backend:Hold use this name"):
        create_backend("hold")


def test_a_class_path_works_for_work_in_progress():
    assert isinstance(create_backend("wam_ros.policies.hold:Hold"), Hold)


def test_a_class_without_a_method_is_refused_with_the_method_named(foreign):
    foreign(mine="foreign_backend:Mine").Mine = type("Mine", (Hold,), {"infer": None})
    with pytest.raises(ConfigError, match="has no method infer"):
        create_backend("mine")


@pytest.mark.parametrize(
    "target", ["no_such_module:X", "wam_ros.policies.no_such:X", "wam_ros.policies.hold:Hodl", "math:pi"]
)
def test_a_wrong_path_is_one_sentence(target):
    with pytest.raises(ConfigError, match=re.escape(target)):
        create_backend(target)


def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch):
    (tmp_path / "needy_backend.py").write_text("import a_package_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingDependencyError, match="a_package_nobody_has"):
        create_backend("needy_backend:Needy")


def test_an_error_inside_a_backends_module_passes_unwrapped(tmp_path, monkeypatch):
    (tmp_path / "broken_backend.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ZeroDivisionError):
        create_backend("broken_backend:Broken")
