# SPDX-License-Identifier: Apache-2.0
"""A node's parameters are one frozen dataclass; its fields are the only declaration.

    @dataclass(frozen=True)
    class MotionParams:
        robot: str = parameter(description="name or YAML path of the robot")
        rate_hz: float = parameter(100.0, description="pace of the commands", unit="Hz", lower=1.0, upper=500.0)

    params = declare(node, MotionParams)

Fields are ``bool``, ``int``, ``float``, ``str`` or a tuple of one of these. A field without a default
must be given. Checks across fields belong into the dataclass's ``__post_init__`` as ConfigError.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_type_hints

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from wam_ros.core.errors import ConfigError, mismatch

T = TypeVar("T")

_TYPES: Mapping[Any, Parameter.Type] = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
    tuple[bool, ...]: Parameter.Type.BOOL_ARRAY,
    tuple[int, ...]: Parameter.Type.INTEGER_ARRAY,
    tuple[float, ...]: Parameter.Type.DOUBLE_ARRAY,
    tuple[str, ...]: Parameter.Type.STRING_ARRAY,
}


def parameter(
    default: Any = dataclasses.MISSING,
    *,
    description: str,
    unit: str = "",
    lower: float | None = None,
    upper: float | None = None,
    read_only: bool = True,
) -> Any:
    """Return a dataclass field that is also a ROS parameter.

    Args:
        default: its value when nobody gives one; without it the parameter is required.
        description: what it does, for ``ros2 param describe`` and the documentation.
        unit: added to the description in brackets.
        lower: inclusive lower bound of a number; give it together with ``upper``.
        upper: inclusive upper bound.
        read_only: refuse changes while the node runs.
    """
    metadata = {"description": description, "unit": unit, "range": (lower, upper), "read_only": read_only}
    return dataclasses.field(default=default, metadata=metadata)


def declare(node: Node, cls: type[T]) -> T:
    """Declare every field of ``cls`` on the node and return the values in force.

    Raises:
        ConfigError: a value is missing, of another type, out of range, refused by ``cls``, or given under
            a name that no field has.
    """
    hints = get_type_hints(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    _refuse_unknown(node, [f.name for f in fields])
    return cls(**{f.name: _declare_field(node, f, hints[f.name]) for f in fields})


def descriptor(field: dataclasses.Field[Any], hint: Any) -> ParameterDescriptor:
    """Return what ROS tools show of a field: description with unit, type, range, read-only."""
    unit = field.metadata.get("unit", "")
    text = field.metadata.get("description", "")
    out = ParameterDescriptor(
        name=field.name,
        type=_TYPES[hint].value,
        description=f"{text} [{unit}]" if unit else text,
        read_only=field.metadata.get("read_only", True),
    )
    lower, upper = field.metadata.get("range", (None, None))
    if lower is not None and hint is float:
        out.floating_point_range = [FloatingPointRange(from_value=float(lower), to_value=float(upper), step=0.0)]
    if lower is not None and hint is int:
        out.integer_range = [IntegerRange(from_value=int(lower), to_value=int(upper), step=0)]
    return out


def _refuse_unknown(node: Node, names: list[str]) -> None:
    """ROS passes over a misspelt parameter in silence."""
    for given in node._parameter_overrides:
        if given not in names and given != "use_sim_time" and not given.startswith("qos_overrides."):
            what = f"{node.get_name()}: parameter"
            raise ConfigError(mismatch(what, ", ".join(names), given, "correct its name"))


def _declare_field(node: Node, field: dataclasses.Field[Any], hint: Any) -> Any:
    has_default = field.default is not dataclasses.MISSING
    # rclpy cannot tell the type of an empty list, so a field with such a default is declared by type.
    given: Any = field.default if has_default and field.default != () else _TYPES[hint]
    try:
        value = node.declare_parameter(field.name, given, descriptor(field, hint)).value
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        raise ConfigError(_refusal(node, field, hint)) from error
    if value is None and not has_default:
        what = f"{node.get_name()}: parameter {field.name}"
        raise ConfigError(mismatch(what, "a value", "nothing", f"give {field.name}: {field.metadata['description']}"))
    if value is None:
        return field.default
    return tuple(value) if get_args(hint) else value


def _refusal(node: Node, field: dataclasses.Field[Any], hint: Any) -> str:
    lower, upper = field.metadata.get("range", (None, None))
    expected = f"a list of {get_args(hint)[0].__name__}" if get_args(hint) else hint.__name__
    if lower is not None:
        expected += f" within {lower}..{upper}"
    given = node._parameter_overrides.get(field.name)
    got = field.default if given is None else given.value
    remedy = f"write {got}.0" if hint is float and type(got) is int else "correct the value"
    return mismatch(f"{node.get_name()}: parameter {field.name}", expected, repr(got), remedy)
