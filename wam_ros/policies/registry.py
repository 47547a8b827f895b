# SPDX-License-Identifier: Apache-2.0
"""From the name in a policy YAML to its backend.

A name is an entry point of the group ``wam_ros.backends``. ``module:Class`` is taken too, for work in
progress. An error inside the backend's own module passes unwrapped: it is for its author to read.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from wam_ros.core.errors import ConfigError, MissingDependencyError, mismatch
from wam_ros.core.requirements import lack
from wam_ros.policies.base import Backend

GROUP = "wam_ros.backends"
METHODS = ("load", "example_request", "warm_up", "infer", "reset", "close")
# The same as in setup.py, so that a checkout runs that was never installed; a test compares them.
BUILT_IN = {
    "hold": "wam_ros.policies.hold:Hold",
    "expert": "wam_ros.policies.expert:Expert",
    "fastwam": "wam_ros.policies.fastwam:FastWam",
    "xwam": "wam_ros.policies.xwam:XWam",
}


def backends() -> dict[str, str]:
    """Return the installed backends: name to ``module:Class``.

    Raises:
        ConfigError: two packages use one name.
    """
    found = dict(BUILT_IN)
    for entry in entry_points(group=GROUP):
        target = found.setdefault(entry.name, entry.value)
        if target != entry.value:
            raise ConfigError(
                f"backend {entry.name}: both {target} and {entry.value} use this name; uninstall one of them"
            )
    return found


def create_backend(name: str) -> Backend:
    """Return a new backend of that name, not yet loaded.

    Raises:
        ConfigError: no such backend, or what the name leads to is not one.
        MissingDependencyError: a package it needs is not installed.
    """
    target = name if ":" in name else backends().get(name)
    if target is None:
        raise ConfigError(mismatch("backend", ", ".join(sorted(backends())), name, "choose one, or give module:Class"))
    backend = _class_of(name, target)()
    for method in METHODS:
        if not callable(getattr(backend, method, None)):
            raise ConfigError(f"backend {name}: {target} has no method {method}; see the protocol in policies/base.py")
    return backend


def _class_of(name: str, target: str) -> type[Backend]:
    module_name, _, class_name = target.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            raise ConfigError(
                mismatch(f"backend {name}", "a module", f"no module {missing}", "correct the name")
            ) from error
        unknown = f"the Python module {missing} is not installed; install the package that brings it"
        raise MissingDependencyError(f"backend {name}: {lack(error) or unknown}") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise ConfigError(
            mismatch(f"backend {name}", f"a class {class_name} in {module_name}", found, "correct the name")
        )
    return found
