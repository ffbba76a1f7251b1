"""How simulators run the bench of a tiled package."""

from __future__ import annotations

from ...emit.parts import Bench

_HARNESS = Bench(
    "verilator", "probe",
    {"tb/probe.v": "verilogSource", "tb/harness.cpp": "cppSource"},
    {"tb/memory.h": "cppSource", "tb/design.h": "cppSource"},
    ("vectors/input.hex", "vectors/output.hex", "tb/job.txt"),
    {
        "mode": "cc",
        "verilator_options": [
            "-O3", "--output-split 50000", "--output-split-cfuncs 5000", "-CFLAGS -O1",
            "-CFLAGS -std=c++17", "-Wno-fatal", "-Wno-lint", "-Wno-style",
        ],
        "make_options": ["-j"],
        "run_options": ["stats.json", "tb/job.txt"],
    },
)  # fmt: skip
"""The harness in C++: it drives external memory."""
BENCHES = (_HARNESS,)
