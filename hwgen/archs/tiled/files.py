"""The files of a package that are the tiled architecture's own.

The RTL and the bench depend on the engine alone. The network is in the image of external memory.
"""

from __future__ import annotations

from ...aliases import Arrays, Progress
from ...contract.engine import EngineShape
from ...contract.identity import engine_hash
from ...emit.bench import WAIVERS, port_list, template, top_ports
from ...emit.packing import to_hex
from ...emit.parts import Parts, dump_json
from ...emit.verilog import VerilogDesign, to_verilog
from ...gateware.engine.compute.tile_array import EVENTS, TileArray
from ...identifiers import identifier
from ...plan.tiled.plan import TiledPlan
from ...plan.tiled.schedule.program import Program
from . import documents
from .bench import BENCHES
from .ends import input_area, input_bytes, output_area, output_bytes
from .top import TiledTop

PACKAGE = "hwgen.archs.tiled"
MOST_DESIGNS = 8
"""Engines whose RTL is kept for the next network: half a megabyte each."""
_designs: dict[EngineShape, tuple[TiledTop, VerilogDesign]] = {}


def tiled_parts(
    plan: TiledPlan, inputs: Arrays, outputs: Arrays, progress: Progress | None
) -> Parts:
    """The design and its files; inputs, outputs : the test vectors."""
    shape = plan.shape
    top, design = engine_design(shape, progress)
    estimate = plan.estimate()
    texts = {
        "plan.json": dump_json(
            plan.to_json() | {"estimate": {"interval": estimate.cycles, "latency": estimate.cycles}}
        ),
        "mem/image.hex": image_hex(plan.program, shape),
        "vectors/input.hex": to_hex(input_bytes(plan, inputs).reshape(-1, 1)),
        "vectors/output.hex": to_hex(output_bytes(plan, outputs).reshape(-1, 1)),
        f"{identifier(plan.graph.name)}.h": documents.c_header(plan, engine_hash(shape)),
        "INTEGRATE.md": documents.integration_guide(plan, engine_hash(shape), top_ports(top)),
        "tb/Makefile": template(PACKAGE, "Makefile"),
        "tb/harness.cpp": template(PACKAGE, "harness.cpp"),
        "tb/memory.h": template(PACKAGE, "memory.h"),
        "tb/waivers.vlt": WAIVERS,
        "tb/design.h": _design(shape),
        "tb/probe.v": _probe(top),
        "tb/job.txt": job(
            plan,
            len(next(iter(inputs.values()))),
            image="mem/image.hex",
            inputs="vectors/input.hex",
            expected="vectors/output.hex",
        ),
    }
    return Parts(design, texts, BENCHES)


def engine_design(shape: EngineShape, progress: Progress | None) -> tuple[TiledTop, VerilogDesign]:
    """An engine and its RTL, made once for all networks that a process builds for it."""
    if shape not in _designs:
        top = TiledTop(shape, engine_hash(shape))
        made = to_verilog(top, "top", progress)
        if len(_designs) == MOST_DESIGNS:
            del _designs[next(iter(_designs))]
        _designs[shape] = top, made
    return _designs[shape]


def image_hex(program: Program, shape: EngineShape) -> str:
    """External memory up to where the engine writes, a beat a line; what follows is zero."""
    return to_hex(program.memory[: program.writable].reshape(-1, shape.bus_bytes))


def regions(program: Program) -> dict[str, int]:
    """Where the regions of external memory end, by name, in their order."""
    starts = sorted(program.tensors.items(), key=lambda item: item[1])
    ends = [*(place for _, place in starts[1:]), program.borders]
    tensors = {name: end for (name, _), end in zip(starts, ends, strict=True)}
    found = {"(constants)": program.start, "(program)": program.writable} | tensors
    if program.borders < len(program.memory):
        found["(borders)"] = len(program.memory)
    return found


def job(plan: TiledPlan, frames: int, **files: str) -> str:
    """A job of the bench (see its head): frames through a program."""
    program = plan.program
    (input_at, input_size), (output_at, output_size) = input_area(plan), output_area(plan)
    made_for = engine_hash(plan.shape)
    values = {
        "engine_lo": made_for & 0xFFFFFFFF,
        "engine_hi": made_for >> 32,
        "memory": len(program.memory),
        "program": program.start,
        "program_end": program.end,
        "writable": program.writable,
        "frames": frames,
        "input_at": input_at,
        "input_bytes": input_size,
        "output_at": output_at,
        "output_bytes": output_size,
        "cycles": plan.estimate().cycles,
        "beats": sum(plan.beats),
    }
    lines = [f"{key} {value}\n" for key, value in (files | values).items()]
    return "".join(lines + [f"region {end}\n" for end in regions(program).values()])


def _design(shape: EngineShape) -> str:
    """What the bench must know of the engine."""
    delays = TileArray.delays(shape)
    fields = dict(iter(EVENTS))
    moves = "".join(
        f'    {{"{name}", {fields[name].offset}, {fields[name].width}, {delay}}},\n'
        for name, delay in delays.items()
    )
    return (
        "#include <cstdint>\n"
        f"constexpr uint64_t BUS_BYTES = {shape.bus_bytes}, TILES = {shape.tiles};\n"
        "// What probe_buffers says of each tile unit: words moved, bits of their number, cycles\n"
        "// since the step.\n"
        f"constexpr uint64_t MOVE_BITS = {EVENTS.size};\n"
        "struct Move { const char* name; uint32_t low, bits; uint64_t delay; };\n"
        f"constexpr Move MOVES[] = {{\n{moves}}};\n"
    )


def _probe(top: TiledTop) -> str:
    """Wrapper that gives the bench the engine's events."""
    ports = top_ports(top)
    probes = {name: len(value) for name, value in top.probes().items()}
    declared = [
        *port_list(ports),
        *(f"    output {f'[{bits - 1}:0] ' if bits > 1 else ''}probe_{name}"
          for name, bits in probes.items()),
    ]  # fmt: skip
    lines = [
        "// The engine with what its bench watches.",
        "module probe (",
        "    input clk,",
        "    input rst,",
        ",\n".join(line.rstrip(",") for line in declared),
        ");",
        "    top dut (",
        "        .clk(clk), .rst(rst),",
        ",\n".join(f"        .{name}({name})" for name in ports),
        "    );",
        *(f"    assign probe_{name} = dut.probe_{name};" for name in probes),
    ]
    return "\n".join([*lines, "endmodule", ""])
