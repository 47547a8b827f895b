# SPDX-License-Identifier: Apache-2.0
"""Strict YAML: what a dataclass declares comes back equal, and everything else is refused by its path."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from wam_ros.core.errors import ConfigError
from wam_ros.files.load import from_data, load_yaml, to_data


@dataclass(frozen=True)
class Wheel:
    radius_m: float
    name: str = "wheel"


@dataclass(frozen=True)
class Cart:
    wheels: tuple[Wheel, ...]
    size_m: tuple[float, float]
    load: int | str
    drive: Literal["front", "rear"] = "rear"
    tags: dict[str, bool] = field(default_factory=dict)
    owner: str | None = None


finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(max_size=8)
wheels = st.builds(Wheel, finite, text)
carts = st.builds(
    Cart,
    wheels=st.lists(wheels, max_size=3).map(tuple),
    size_m=st.tuples(finite, finite),
    load=st.integers() | text,
    drive=st.sampled_from(["front", "rear"]),
    tags=st.dictionaries(text, st.booleans(), max_size=2),
    owner=st.none() | text,
)
GOOD = {"wheels": [{"radius_m": 1}], "size_m": [1, 2.0], "load": 3}


@given(carts)
def test_what_is_written_is_read_back_equal(cart):
    assert from_data(Cart, yaml.safe_load(yaml.safe_dump(to_data(cart)))) == cart


@given(carts, text)
def test_a_key_that_is_not_declared_is_refused_by_name(cart, key):
    data = to_data(cart)
    if key not in data:
        with pytest.raises(ConfigError, match="got an unknown key"):
            from_data(Cart, {**data, key: 1})


@pytest.mark.parametrize("key", ["wheels", "size_m", "load"])
def test_a_missing_key_is_named(key):
    data = {k: v for k, v in GOOD.items() if k != key}
    with pytest.raises(ConfigError, match=rf"cart\.yaml: \$\.{key}: expected a value, got nothing; add the key"):
        from_data(Cart, data, "cart.yaml")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size_m": [1.0]}, r"\$\.size_m: expected 2 items, got 1"),
        ({"size_m": 1.0}, r"\$\.size_m: expected a list, got 1\.0"),
        ({"wheels": [{"radius_m": True}]}, r"\$\.wheels\[0\]\.radius_m: expected float, got True"),
        ({"wheels": [{"radius_m": 1, "radios": 2}]}, r"\$\.wheels\[0\]\.radios: expected one of name, radius_m"),
        ({"wheels": ["round"]}, r"\$\.wheels\[0\]: expected a mapping with the keys of Wheel, got 'round'"),
        ({"load": True}, r"\$\.load: expected one of int, str, got True"),
        ({"drive": "side"}, r"\$\.drive: expected one of front, rear, got 'side'"),
        ({"tags": {"a": 1}}, r"\$\.tags\.a: expected bool, got 1"),
        ({"tags": [1]}, r"\$\.tags: expected a mapping"),
    ],
)
def test_a_value_of_another_form_is_refused_by_its_path(change, words):
    with pytest.raises(ConfigError, match=words):
        from_data(Cart, {**GOOD, **change}, "cart.yaml")


def test_an_integer_passes_for_a_float():
    assert from_data(Cart, GOOD).wheels[0].radius_m == 1.0


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"a: [1", "is not valid YAML"), (b"\xff\xfe\x00", "is not valid YAML"), (b"- 1", "expected a mapping")],
)
def test_a_file_that_is_no_mapping_is_named(tmp_path, content, words):
    path = tmp_path / "cart.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as error:
        load_yaml(path, Cart)
    assert str(error.value).startswith(str(path))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(
        ConfigError, match=r"nobody\.yaml: cannot be read \(No such file or directory\); check the path"
    ):
        load_yaml(tmp_path / "nobody.yaml", Cart)
