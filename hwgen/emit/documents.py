"""What goes with the Verilog of every package: the FuseSoC core file, tables of registers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..gateware.bus.axilite import Register
from ..gateware.stream.csr import MAGIC
from ..identifiers import identifier
from ..ir import Graph
from .verilog import VerilogDesign


def fusesoc_core(graph: Graph, design: VerilogDesign, paths: list[str]) -> str:
    """A CAPI=2 core file with the sources and the memory images at ``paths``."""
    sources = "".join(f"      - rtl/{name}\n" for name in design.sources)
    images = "".join(f"      - {path}: {{file_type: user, copyto: {path}}}\n" for path in paths)
    memory = f"  mem:\n    files:\n{images}" if images else ""
    filesets = "[rtl, mem]" if images else "[rtl]"
    name = identifier(graph.name)
    return (
        "CAPI=2:\n"
        f"name: ::{name}:0\n"
        f"description: Accelerator of the network {name}, made by hwgen\n"
        "filesets:\n"
        "  rtl:\n"
        f"    files:\n{sources}"
        "    file_type: verilogSource\n"
        f"{memory}"
        "targets:\n"
        "  default: &default\n"
        f"    filesets: {filesets}\n"
        f"    toplevel: {design.top}\n"
        "  lint:\n"
        "    <<: *default\n"
        "    default_tool: verilator\n"
        "    tools:\n"
        "      verilator: {mode: lint-only}\n"
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
