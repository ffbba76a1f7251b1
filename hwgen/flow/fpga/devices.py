"""The devices that a design can be synthesized for, each as data: one entry a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .block_ram import Netlist, absorb_output_registers
from .carry_chains import cut_carries


@dataclass(frozen=True)
class Device:
    """How to synthesize for a device, and how to read the results.

    Parameters
    ----------
    name : on the command line. synth : Yosys command. primitives : folder beside this file with
    Verilog modules that take the place of the package's generic ones. family : of nextpnr;
    options : its arguments. cells : for lut, ff, dsp and bram the netlist's cell types, with how
    many of the kind one cell is. placed : names of the same in nextpnr's report. improve : what
    is done to the netlist (and the name of its top) before it is placed, by what is said of how
    often that was. blocks :
    DSP blocks of the device; block_operands : bits of operands whose product takes one.
    """

    name: str
    synth: str
    primitives: str
    family: str
    options: tuple[str, ...]
    cells: dict[str, dict[str, int]]
    placed: dict[str, str]
    improve: dict[str, Callable[[Netlist, str], int]]
    blocks: int
    block_operands: range


_ECP5: dict[str, Any] = {
    "synth": "synth_ecp5",
    "primitives": "ecp5",
    "family": "ecp5",
    # A CCU2C is two slices' worth of carry, a DPR16X4 takes four of the slices' tables.
    "cells": {
        "lut": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4},
        "ff": {"TRELLIS_FF": 1},
        "dsp": {"MULT18X18D": 1},
        "bram": {"DP16KD": 1},
    },
    "placed": {
        "lut": "TRELLIS_COMB",
        "ff": "TRELLIS_FF",
        "dsp": "MULT18X18D",
        "bram": "DP16KD",
    },
    "improve": {
        "registers of block RAMs used": absorb_output_registers,
        "carries cut": cut_carries,
    },
    "block_operands": range(4, 19),
}

DEVICES: dict[str, Device] = {
    device.name: device
    for device in (
        Device(
            name="ecp5-85k-6",
            options=("--85k", "--speed", "6", "--package", "CABGA381"),
            blocks=156,
            **_ECP5,
        ),
        Device(
            name="ecp5-45k-6",
            options=("--45k", "--speed", "6", "--package", "CABGA381"),
            blocks=72,
            **_ECP5,
        ),
        Device(
            name="ecp5-25k-6",
            options=("--25k", "--speed", "6", "--package", "CABGA381"),
            blocks=28,
            **_ECP5,
        ),
    )
}
