"""Carries that nothing reads have no net; those that something reads keep it."""

from __future__ import annotations

from typing import Any

import pytest

from hwgen.flow.fpga.carry_chains import cut_carries


def link(carry_in: Any, carry_out: int) -> dict[str, Any]:
    pins = {"A0": [3], "CIN": [carry_in], "S0": [40], "COUT": [carry_out]}
    return {
        "type": "CCU2C",
        "port_directions": {p: "output" if p in ("S0", "COUT") else "input" for p in pins},
        "connections": pins,
    }


def chain(**more: dict[str, Any]) -> dict[str, Any]:
    """Two links of a chain, whose last carry goes nowhere."""
    cells = {"first": link("0", 10), "last": link(10, 11)} | more
    ports = {"o": {"direction": "output", "bits": [40]}}
    return {"modules": {"top": {"cells": cells, "ports": ports}}}


def test_the_last_carry_is_cut() -> None:
    made = chain()
    assert cut_carries(made, "top") == 1
    cells = made["modules"]["top"]["cells"]
    assert cells["first"]["connections"]["COUT"] == [10]
    assert cells["last"]["connections"]["COUT"] == ["x"]


@pytest.mark.parametrize("reader", ["cell", "port"])
def test_a_carry_that_is_read_stays(reader: str) -> None:
    made = chain(**({"more": link(11, 12)} if reader == "cell" else {}))
    module = made["modules"]["top"]
    if reader == "port":
        module["ports"]["o"]["bits"].append(11)
    cut_carries(made, "top")
    assert module["cells"]["last"]["connections"]["COUT"] == [11]
