"""Types: their checks, their JSON, their short form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hwgen.errors import UserError
from hwgen.numeric import TYPE_SCHEMA, Overflow, QType, Rounding, parse_type, type_for_range
from hwgen.validation import Schema

PLAIN = {"signed": True, "width": 8, "frac": 4, "rounding": "floor", "overflow": "wrap"}
SCALED = {"signed": False, "width": 8, "scale": 0.5, "rounding": "ceil", "overflow": "saturate"}


def read(value: Any) -> QType:
    Schema(TYPE_SCHEMA).check(value)
    return QType.from_json(value)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("overflow", list(Overflow))
def test_bounds(signed: bool, overflow: Overflow) -> None:
    for width in range(1, 10):
        qtype = QType(signed, width, 0, Rounding.FLOOR, overflow)
        assert qtype.max - qtype.min + 1 == 2**width
        assert qtype.min == (-(2 ** (width - 1)) if signed else 0)
        symmetric = signed and overflow is Overflow.SATURATE_SYMMETRIC
        assert qtype.low == (-qtype.max if symmetric else qtype.min)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("overflow", list(Overflow))
@pytest.mark.parametrize(
    "meaning", [{"frac": -3}, {"scale": 0.1, "zero_point": 7}, {"scale": (0.1, 2.0)}]
)
def test_json_round_trip(rounding: Rounding, overflow: Overflow, meaning: dict[str, Any]) -> None:
    qtype = QType(True, 9, **{"frac": 0, **meaning}, rounding=rounding, overflow=overflow)
    text = json.dumps(qtype.to_json())
    assert read(json.loads(text)) == qtype
    assert hash(read(json.loads(text))) == hash(qtype)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 0}, "width: 0 is less than the minimum of 1"),
        ({"width": 129}, "width: 129 is more than the maximum of 128"),
        ({"width": 8.0}, "width: expected an integer"),
        ({"width": True}, "width: expected an integer"),
        ({"frac": "4"}, "frac: expected an integer"),
        ({"frac": 257}, "frac: 257"),
        ({"frac": -257}, "frac: -257"),
        ({"signed": 1}, "signed: expected true or false"),
        ({"rounding": "nearest"}, "half_even"),
        ({"rounding": ["floor"]}, "rounding"),
        ({"overflow": None}, "saturate_symmetric"),
        ({"scale": 1.0}, "either frac or scale"),
        ({"zero_point": 1}, "zero_point needs a scale"),
        ({"bits": 8}, "bits: unknown key"),
    ],
)
def test_faults_of_a_type(changes: dict[str, Any], said: str) -> None:
    with pytest.raises((UserError, ValueError), match=said):
        read(PLAIN | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scale": None}, "number"),
        ({"scale": True}, "number"),
        ({"scale": "1"}, "number"),
        ({"scale": ["1"]}, "number"),
        ({"scale": [[1]]}, "number"),
        ({"scale": [None]}, "number"),
        ({"scale": []}, "positive and finite"),
        ({"scale": 0}, "positive and finite"),
        ({"scale": [1.0, -1.0]}, "positive and finite"),
        ({"scale": float("nan")}, "positive and finite"),
        ({"scale": float("inf")}, "positive and finite"),
        ({"scale": 10**400}, "positive and finite"),
        ({"zero_point": 256}, "zero_point 256"),
        ({"zero_point": -1}, "zero_point -1"),
        ({"zero_point": 0.5}, "zero_point: expected an integer"),
    ],
)
def test_faults_of_a_scale(changes: dict[str, Any], said: str) -> None:
    with pytest.raises((UserError, ValueError), match=said):
        read(SCALED | changes)


@pytest.mark.parametrize("key", ["signed", "width", "rounding", "overflow"])
def test_a_type_has_no_defaults(key: str) -> None:
    with pytest.raises(UserError, match=f"{key}: is missing"):
        read({k: v for k, v in PLAIN.items() if k != key})


@pytest.mark.parametrize("value", [None, 8, "s8.4", [PLAIN]])
def test_a_type_is_an_object(value: Any) -> None:
    with pytest.raises(UserError, match="expected an object"):
        read(value)


def test_frac_and_scale_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="not both"):
        QType(True, 8, 1, Rounding.FLOOR, Overflow.WRAP, scale=1.0)


@pytest.mark.parametrize("text", ["u8.8", "s8.4", "s8.-1", "u1.0", "s32.31"])
def test_short_form(text: str) -> None:
    qtype = parse_type(f" {text} ")
    assert str(qtype) == text
    assert (qtype.rounding, qtype.overflow) == (Rounding.HALF_EVEN, Overflow.SATURATE)


@pytest.mark.parametrize("text", ["", "8.8", "u8", "i8.8", "u8.8.8", "u0.0", "u33.0", "s8.999"])
def test_faults_of_the_short_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"type ''|type '|frac"):
        parse_type(text)


def test_names_of_scaled_types() -> None:
    assert str(read(SCALED)) == "u8*0.5"
    assert str(read(SCALED | {"zero_point": 3})) == "u8*0.5+3"
    assert str(read(SCALED | {"scale": [1.0, 2.0]})) == "u8*channel"


@pytest.mark.parametrize("bits", [31, 62, 63, 64, 100])
def test_types_of_wide_ranges(bits: int) -> None:
    top = 1 << bits
    assert str(type_for_range(0, top - 1)) == f"u{bits}.0"
    assert str(type_for_range(0, top, 3)) == f"u{bits + 1}.3"
    assert str(type_for_range(-top, top - 1)) == f"s{bits + 1}.0"
    assert str(type_for_range(-top - 1, 0)) == f"s{bits + 2}.0"
    assert str(type_for_range(top, top)) == f"u{bits + 1}.0"


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="empty range"):
        type_for_range(1, 0)
