"""The bench files of a package: a self-checking Verilog bench, and the batch harness's parts."""

from __future__ import annotations

from ...emit.bench import WAIVERS, port_list, template, top_ports, vector
from ...emit.packing import beat_bytes, element_bytes
from ...plan.dataflow.plan import DataflowPlan
from .top import DataflowTop, level_members

PACKAGE = "hwgen.archs.dataflow"


def level_names(plan: DataflowPlan) -> list[str]:
    """Names of all watched levels, in the order of the probe's outputs."""
    names = ["input.fifo"]
    for unit in plan.units:
        names += level_members(unit)
    return names


def quiet_limit(plan: DataflowPlan) -> int:
    """Cycles without a beat after which a bench gives up."""
    return 4 * plan.interval_bound + 10_000


def bench_files(plan: DataflowPlan, top: DataflowTop, frames: int) -> dict[str, str]:
    """Files of the package's tb/ by name; ``frames`` is the number of test vectors."""
    return {
        "tb.v": template(PACKAGE, "tb.v"),
        "Makefile": template(PACKAGE, "Makefile"),
        "harness.cpp": template(PACKAGE, "harness.cpp"),
        "waivers.vlt": WAIVERS,
        "design.vh": _verilog_header(plan, frames),
        "design.h": _cpp_header(plan, top),
        "probe.v": _probe(plan, top),
    }


def _constants(plan: DataflowPlan) -> dict[str, int]:
    out = plan.output
    return {
        "IN_BYTES": beat_bytes(plan.input),
        "IN_BEATS": plan.input.beats,
        "OUT_BYTES": beat_bytes(out),
        "OUT_BEATS": out.beats,
        "QUIET_LIMIT": quiet_limit(plan),
    }


def _verilog_header(plan: DataflowPlan, frames: int) -> str:
    constants = _constants(plan) | {"FRAMES": frames}
    return "".join(f"`define {name} {value}\n" for name, value in constants.items())


def _edges(top: DataflowTop) -> dict[str, int]:
    """Bits of each unit's output beat."""
    return top.beat_bits()


def _cpp_header(plan: DataflowPlan, top: DataflowTop) -> str:
    edges = _edges(top)
    sizes = [element_bytes(bits) for bits in edges.values()]
    offsets = [sum(sizes[:i]) for i in range(len(sizes))]
    lines = [f"constexpr uint64_t {name} = {value};" for name, value in _constants(plan).items()]
    names = ", ".join(f'"{name}"' for name in edges)
    beats = ", ".join(str(unit.output.beats) for unit in plan.units)
    lines += [
        f"constexpr int LEVELS = {len(level_names(plan))};",
        f"constexpr int EDGES = {len(edges)};",
        f"constexpr const char* EDGE_NAMES[] = {{{names}}};",
        f"constexpr uint64_t EDGE_BEATS[] = {{{beats}}};",
        f"constexpr int EDGE_BYTES[] = {{{', '.join(map(str, sizes))}}};",
        f"constexpr int EDGE_OFFSETS[] = {{{', '.join(map(str, offsets))}}};",
    ]
    return "\n".join(lines) + "\n"


def _probe(plan: DataflowPlan, top: DataflowTop) -> str:
    """Wrapper that watches levels, work and the streams between units."""
    edges, levels = _edges(top), level_names(plan)
    ports = top_ports(top)
    lines = [
        "// The accelerator with what benches watch: the most each level reached, cycles of work,",
        "// and the beats on every stream between units (each in whole bytes).",
        "module probe (",
        "    input clk,",
        "    input rst,",
    ]
    lines += port_list(ports)
    total_bytes = sum(map(element_bytes, edges.values()))
    lines += [
        f"    output {vector(32 * len(levels))}levels,",
        f"    output {vector(64 * len(edges))}work,",
        f"    output {vector(len(edges))}edge_beat,",
        f"    output {vector(8 * total_bytes)}edge_data",
        ");",
        "    top dut (",
        "        .clk(clk), .rst(rst),",
        ",\n".join(f"        .{name}({name})" for name in ports),
        "    );",
    ]
    for i, level in enumerate(levels):
        name = level.replace(".", "_")
        lines += [
            f"    reg [31:0] most_{name};",
            f"    wire [31:0] now_{name} = 32'd0 + dut.probe_level_{name};",
            "    always @(posedge clk)",
            f"        if (rst) most_{name} <= 0;",
            f"        else if (now_{name} > most_{name}) most_{name} <= now_{name};",
            f"    assign levels[{32 * i + 31}:{32 * i}] = "
            f"now_{name} > most_{name} ? now_{name} : most_{name};",
        ]
    offset = 0
    for i, (name, bits) in enumerate(edges.items()):
        size = 8 * element_bytes(bits)
        lines += [
            f"    reg [63:0] work_{name};",
            "    always @(posedge clk)",
            f"        if (rst) work_{name} <= 0;",
            f"        else work_{name} <= work_{name} + {{63'd0, dut.probe_work_{name}}};",
            f"    assign work[{64 * i + 63}:{64 * i}] = work_{name};",
            f"    assign edge_beat[{i}] = dut.probe_beat_{name};",
            f"    assign edge_data[{offset + size - 1}:{offset}] = "
            f"{{{{{size - bits}{{1'b0}}}}, dut.probe_data_{name}}};"
            if size > bits
            else f"    assign edge_data[{offset + size - 1}:{offset}] = dut.probe_data_{name};",
        ]
        offset += size
    return "\n".join([*lines, "endmodule", ""])
