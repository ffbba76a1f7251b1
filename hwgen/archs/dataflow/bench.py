"""How simulators run the bench of a dataflow package."""

from __future__ import annotations

from ...emit.parts import Bench
from ...plan.dataflow.plan import DataflowPlan
from ...plan.dataflow.ports import INPUT, OUTPUT, Port


def vector_file(port: Port) -> str:
    """The package's file with the beats of the test vectors at a port."""
    return f"vectors/{port.name}.hex"


def constant_prefix(port: Port) -> str:
    """What the names of a port's constants begin with, in C and in the Verilog bench."""
    return {INPUT: "IN", OUTPUT: "OUT"}[port.way] + port.suffix.upper()


def benches(plan: DataflowPlan) -> tuple[Bench, ...]:
    """The self-checking bench in both simulators."""
    vectors = tuple(vector_file(port) for port in (*plan.inputs, *plan.outputs))
    return (
        Bench(
            "verilator", "tb",
            {"tb/waivers.vlt": "vlt", "tb/tb.v": "systemVerilogSource"},
            {"tb/design.vh": "systemVerilogSource"}, vectors,
            {"mode": "binary", "verilator_options": ["--timing", "-O3", "-CFLAGS -std=c++20",
                                                     "-Wno-fatal"]},
        ),
        Bench(
            "icarus", "tb", {"tb/tb.v": "systemVerilogSource"},
            {"tb/design.vh": "systemVerilogSource"}, vectors,
            {"iverilog_options": ["-g2012", "-Wno-timescale"]},
        ),
    )  # fmt: skip
