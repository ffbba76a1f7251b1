"""Descriptors: packed and unpacked, values outside their fields refused."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from hwgen.contract.engine import EngineShape
from hwgen.contract.isa import COMPUTE, RECORD, RECORDS, TRANSFER, Opcode, slots
from hwgen.contract.isa_tables import codes, records

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "engine_isa.md"


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
    assert [slots(op) for op in Opcode] == [1, 1, 1, 6]
    assert set(RECORDS) == {Opcode.LOAD, Opcode.STORE, Opcode.COMPUTE}


def test_the_documents_tables_are_those_of_the_code() -> None:
    text = DOCUMENT.read_text()
    assert records() in text and codes() in text, "run scripts/engine_isa.py --write"
    bits = [
        [int(n) for n in row.split("|")[1].split("..")]
        for table in records().split("###")[1:]
        for row in table.splitlines()[3:]
        if row
    ]
    # Every bit of a record up to its last field has one row.
    ends = [b[0] for b in bits]
    starts = [b[-1] for b in bits]
    for n, start in enumerate(starts):
        assert start == 0 or start == ends[n - 1] + 1
    for record in (TRANSFER, COMPUTE):
        assert sum(field.width for field in record.fields) - 1 in ends


def test_the_documents_program_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)
    monkeypatch.chdir(ROOT)
    exec(example, {})
    assert capsys.readouterr().out == "True\n"


def test_the_text_tells_of_every_field() -> None:
    text = DOCUMENT.read_text().partition("## Codes")[0]
    names = {
        re.sub(r"^(loop|out)\d", r"\1N", field.name)
        for record in (TRANSFER, COMPUTE)
        for field in record.fields
    }
    assert len(names) > 60
    assert not {name for name in names if f"`{name}`" not in text}


@pytest.mark.parametrize(
    "wrong",
    [
        {"pe": 12},
        {"simd": 128},
        {"mem_width": 48},
        {"feature_bytes": 100},
        {"tiles": 0},
        {"ifmap_bits": 0},
        {"ifmap_bits": 17},
        {"weight_bits": 0},
        {"weight_bits": 17},
    ],
)
def test_engines_that_can_not_be(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        EngineShape(**wrong)
