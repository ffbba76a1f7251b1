"""Descriptors: packed and unpacked, values outside their fields refused."""

from __future__ import annotations

import random

import pytest

from hwgen.descriptors import COMPUTE, RECORD, RECORDS, TRANSFER, EngineShape, Op, describe, slots


@pytest.mark.parametrize("record", [TRANSFER, COMPUTE, RECORD], ids=lambda r: r.name)
def test_what_is_packed_is_unpacked(record) -> None:
    rng = random.Random(1)
    for _ in range(20):
        values = {field.name: rng.randint(*field.range) for field in record.fields}
        data = record.pack(values)
        assert len(data) == record.size // 8
        assert record.unpack(data) == values


def test_wrong_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rows = 4096 is outside 0\.\.4095"):
        TRANSFER.pack({"rows": 4096})
    with pytest.raises(ValueError, match="has no field 'color'"):
        TRANSFER.pack({"color": 1})


def test_every_descriptor_is_whole_slots() -> None:
    assert [slots(op) for op in Op] == [1, 1, 1, 6]
    assert set(RECORDS) == {Op.LOAD, Op.STORE, Op.COMPUTE}
    assert all(field.name in describe() for field in COMPUTE.fields)


@pytest.mark.parametrize(
    "wrong", [{"pe": 12}, {"simd": 128}, {"mem_width": 48}, {"feature_bytes": 100}, {"tiles": 0}]
)
def test_engines_that_can_not_be(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        EngineShape(**wrong)
