"""How simulators run the bench of a dataflow package."""

from __future__ import annotations

from ...emit.parts import Bench

_VECTORS = ("vectors/input.hex", "vectors/output.hex")
BENCHES = (
    Bench(
        "verilator", "tb",
        {"tb/waivers.vlt": "vlt", "tb/tb.v": "systemVerilogSource"},
        {"tb/design.vh": "systemVerilogSource"}, _VECTORS,
        {"mode": "binary", "verilator_options": ["--timing", "-O3", "-CFLAGS -std=c++20",
                                                 "-Wno-fatal"]},
    ),
    Bench(
        "icarus", "tb", {"tb/tb.v": "systemVerilogSource"},
        {"tb/design.vh": "systemVerilogSource"}, _VECTORS,
        {"iverilog_options": ["-g2012", "-Wno-timescale"]},
    ),
)  # fmt: skip
"""The self-checking bench in both simulators."""
