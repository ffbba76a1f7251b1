"""Registers behind block RAMs move into them where nothing else reads, enables or resets them."""

from __future__ import annotations

from typing import Any

import pytest

from hwgen.flow.fpga.block_ram import absorb_output_registers


def register(data: int, q: int, **changes: Any) -> dict[str, Any]:
    pins = {"CLK": [2], "DI": [data], "LSR": ["0"], "Q": [q]} | changes.pop("pins", {})
    return {
        "type": "TRELLIS_FF",
        "parameters": {"CEMUX": "1 ", "CLKMUX": "CLK", "REGSET": "RESET"} | changes,
        "port_directions": {pin: "output" if pin == "Q" else "input" for pin in pins},
        "connections": pins,
    }


def netlist(**more: dict[str, Any]) -> dict[str, Any]:
    """A memory with two outputs, a register behind each."""
    pins = {"CLKA": [2], "CLKB": [2], "OCEA": ["1"], "OCEB": ["1"], "DOB0": [10], "DOB1": [11]}
    ram = {
        "type": "DP16KD",
        "parameters": {"REGMODE_A": "NOREG", "REGMODE_B": "NOREG"},
        "port_directions": {p: "output" if p.startswith("DO") else "input" for p in pins},
        "connections": pins | {"DOA0": [12]},
    }
    ram["port_directions"]["DOA0"] = "output"
    cells = {"ram": ram, "r0": register(10, 20), "r1": register(11, 21)} | more
    module = {"cells": cells, "ports": {"o": {"direction": "output", "bits": [20, 21]}}}
    return {"modules": {"top": module}}


def test_registers_move() -> None:
    made = netlist()
    assert absorb_output_registers(made, "top") == 1
    cells = made["modules"]["top"]["cells"]
    assert list(cells) == ["ram"]
    assert cells["ram"]["parameters"] == {"REGMODE_A": "NOREG", "REGMODE_B": "OUTREG"}
    assert cells["ram"]["connections"]["DOB0"] == [20]
    assert cells["ram"]["connections"]["DOB1"] == [21]


@pytest.mark.parametrize(
    "other",
    [
        {"r1": register(11, 21, CEMUX="CE", pins={"CE": [9]})},
        {"r1": register(11, 21, pins={"LSR": [9]})},
        {"r1": register(11, 21, pins={"CLK": [3]})},
        {"r1": register(11, 21, CLKMUX="INV")},
        {"r2": register(11, 22)},
        {"r1": register(99, 21), "lut": register(11, 23) | {"type": "LUT4"}},
    ],
    ids=["enabled", "reset", "other clock", "other edge", "second reader", "logic behind"],
)
def test_registers_stay(other: dict[str, Any]) -> None:
    made = netlist(**other)
    before = dict(made["modules"]["top"]["cells"])
    assert absorb_output_registers(made, "top") == 0
    assert made["modules"]["top"]["cells"] == before
    assert before["ram"]["parameters"]["REGMODE_B"] == "NOREG"


def test_an_output_of_the_design_stays() -> None:
    made = netlist()
    made["modules"]["top"]["ports"]["o"]["bits"].append(11)
    assert absorb_output_registers(made, "top") == 0


def widest(**more: dict[str, Any]) -> dict[str, Any]:
    """A memory of 36 bits: its third output, at the other side, has a register too."""
    made = netlist(r2=register(12, 22), **more)
    ram = made["modules"]["top"]["cells"]["ram"]
    ram["parameters"]["DATA_WIDTH_B"] = f"{36:032b}"
    ram["connections"]["OCEA"] = ["0"]
    return made


def test_a_word_of_both_sides_moves_as_one() -> None:
    made = widest()
    assert absorb_output_registers(made, "top") == 1
    cells = made["modules"]["top"]["cells"]
    assert list(cells) == ["ram"]
    parameters, pins = cells["ram"]["parameters"], cells["ram"]["connections"]
    assert (parameters["REGMODE_A"], parameters["REGMODE_B"]) == ("OUTREG", "OUTREG")
    assert (pins["OCEA"], pins["OCEB"]) == (["1"], ["1"])
    assert (pins["DOB0"], pins["DOB1"], pins["DOA0"]) == ([20], [21], [22])


def test_a_word_of_both_sides_stays_as_one() -> None:
    """A second reader of its other half keeps all of the registers where they are."""
    made = widest(r3=register(12, 23))
    assert absorb_output_registers(made, "top") == 0
    parameters = made["modules"]["top"]["cells"]["ram"]["parameters"]
    assert (parameters["REGMODE_A"], parameters["REGMODE_B"]) == ("NOREG", "NOREG")
