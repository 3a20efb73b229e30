"""Anything becomes JSON, and nothing raises."""

from __future__ import annotations

import enum
import json
from collections import deque
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType
from uuid import UUID

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucidic._spans._json import clean, cut, dumps


class Colour(enum.Enum):
    RED = "red"


class Weight(pydantic.BaseModel):
    kilos: float = 0.5
    blob: bytes = b"\xff"
    key: pydantic.SecretStr = pydantic.SecretStr("hunter2")


class Broken(pydantic.BaseModel):
    def model_dump(self, **kwargs):
        raise RuntimeError("no")


@dataclass
class Pair:
    left: object
    right: object = field(default=None)


class Mute:
    def __repr__(self):
        raise ValueError("no words")


class Plain:
    pass


class Scalar:
    """Behaves as a NumPy scalar does."""

    dtype, size, shape = "float64", 1, ()

    def item(self):
        return 1.5


class Matrix:
    """Behaves as an array of NumPy or torch does."""

    dtype = "float64"

    def __init__(self, *shape):
        self.shape = shape

    def tolist(self):
        return [[0.0] * self.shape[1]] * self.shape[0]


class Stateful(dict):
    def items(self):
        raise RuntimeError("changed during iteration")


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.text(st.characters(categories=["Cs", "Lu"]))
    | st.binary()
    | st.dates()
    | st.datetimes()
    | st.uuids()
    | st.decimals()
    # Made on the spot: Hypothesis would print the objects, and some have no words.
    | st.sampled_from([Mute, Plain, Broken, Scalar, Weight]).map(lambda kind: kind())
    | st.sampled_from([Colour.RED, int, print])
    | st.just(1).map(lambda one: Stateful(a=one)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.text()), inner, max_size=4)
        | st.builds(Pair, inner, inner)
        | st.builds(deque, st.lists(inner, max_size=3))
    ),
    max_leaves=12,
)


def _strict(text):
    def refuse(constant):
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


@given(anything)
def test_anything_is_valid_json_and_utf8(value):
    """Whatever comes in, strict JSON that UTF-8 can hold comes out, and nothing raises."""
    text = dumps(value)

    _strict(text)
    text.encode()


@given(anything, st.integers(3, 300))
def test_a_limit_holds_and_leaves_valid_json(value, limit):
    """The text is never longer than the limit and is valid JSON all the same."""
    text = dumps(value, limit=limit)

    _strict(text)
    assert len(text) <= limit


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=8))
def test_plain_values_survive_a_round_trip(value):
    """What JSON can hold comes back as it was, with its characters unescaped."""
    assert value == json.loads(dumps(value))
    assert '"é日本😀"' == dumps("é日本😀")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Weight(kilos=1.5), '{"kilos": 1.5, "blob": "<1 bytes>", "key": "SecretStr(\'***'),
        (Pair(1, Pair(2)), '{"left": 1, "right": {"left": 2, "right": null}}'),
        (MappingProxyType({"a": 1}), '{"a": 1}'),
        (b"text", '"text"'),
        (b"\xff\x00", '"<2 bytes>"'),
        ({3, 1, 2}, "[1, 2, 3]"),
        (datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc), '"2026-01-02T03:04:00+00:00"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Decimal("1.10"), '"1.10"'),
        (PurePosixPath("/a/b"), '"/a/b"'),
        (Colour.RED, '"red"'),
        (Scalar(), "1.5"),
        (Matrix(1, 2), "[[0.0, 0.0]]"),
        (ValueError("x"), "\"ValueError('x')\""),
        (Colour, '"<class'),
    ],
)
def test_common_types_have_a_readable_form(value, expected):
    """Models, dataclasses, times, ids, enumerations and array scalars are written as what they hold."""
    assert dumps(value).startswith(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), '"NaN"'),
        ([float("inf"), -float("inf")], '["Infinity", "-Infinity"]'),
        ({1: "a", (1, 2): "b", None: "c"}, '{"1": "a", "[1, 2]": "b", "null": "c"}'),
        ([10**5000], '["<int>"]'),
        ([Matrix(1000, 1000)], "shape=(1000, 1000)"),
        ({"a": Mute()}, "Mute: ValueError>"),
        ({"a": Broken(), "b": 1}, 'Broken: RuntimeError>", "b": 1}'),
        (Stateful(a=1), "Stateful: RuntimeError>"),
        (Plain(), "Plain>"),
        ("a\ud800b", '"a\ufffdb"'),
    ],
)
def test_what_has_no_json_form_leaves_a_marker(value, expected):
    """A value without a JSON form, or whose methods raise, costs only itself and says what it was."""
    assert expected in dumps(value)


def test_an_object_without_a_description_shows_no_address():
    """Two objects that do not describe themselves read the same, in every run."""
    assert dumps(Plain()) == dumps(Plain())
    assert "0x" not in dumps([Plain()])


def test_cycles_and_depth_end_in_a_marker():
    """A structure that contains itself, or is nested deeper than the interpreter goes, ends where it would not end."""
    cycle: dict[str, object] = {"a": 1}
    cycle["self"] = [cycle]
    deep: list[object] = []
    for _ in range(200_000):
        deep = [deep]

    assert '{"a": 1, "self": ["<cycle>"]}' == dumps(cycle)
    assert "nested too deep" in dumps(deep)


def test_the_same_object_twice_is_no_cycle():
    """A value that occurs twice side by side is written twice, also when something else is out of order."""
    shared = {"a": float("nan")}

    assert '[{"a": "NaN"}, {"a": "NaN"}]' == dumps([shared, shared])


def test_an_iterator_is_not_consumed():
    """Writing a generator down takes nothing from it."""
    numbers = (number for number in range(3))

    dumps({"stream": numbers})

    assert [0, 1, 2] == list(numbers)


def test_a_cut_says_what_is_missing():
    """Cut strings, lists and objects say how much more there was, and most of the limit is used."""
    assert '"xxxx' == dumps("x" * 500, limit=100)[:5]
    assert "more characters]" in dumps("x" * 500, limit=100)
    assert "more items" in dumps(list(range(500)), limit=100)
    assert "more keys" in dumps({str(n): n for n in range(500)}, limit=100)
    assert len(dumps("x" * 5000, limit=1000)) > 900


def test_a_caller_at_the_recursion_limit_gets_a_marker():
    """Where even the walk has no room left, the caller still gets JSON and no exception."""

    def descend():
        try:
            return descend()
        except RecursionError:
            return dumps(Pair(float("nan")))

    _strict(descend())


@given(st.text(st.characters(categories=["Cs", "Lu", "So"])), st.integers(0, 40))
def test_text_is_cut_to_size_and_clean(text, limit):
    """Cut text is within its limit and UTF-8 can hold it; surrogate pairs become their character."""
    found = cut(text, limit)

    found.encode()
    assert len(found) <= limit
    assert "\U0001f600" == clean("\ud83d\ude00")
