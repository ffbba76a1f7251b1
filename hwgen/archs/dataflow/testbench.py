"""The bench files of a package: a self-checking Verilog bench, and the batch harness's parts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from jinja2 import Environment, StrictUndefined

from ...emit.bench import WAIVERS, port_list, template, top_ports, vector
from ...emit.packing import beat_bytes, element_bytes
from ...plan.dataflow.plan import DataflowPlan
from ...plan.dataflow.ports import Port
from .bench import constant_prefix, vector_file
from .top import DataflowTop, level_members

PACKAGE = "hwgen.archs.dataflow"


def level_names(plan: DataflowPlan) -> list[str]:
    """Names of all watched levels, in the order of the probe's outputs."""
    names = [f"{port.name}.fifo" for port in plan.inputs]
    for unit in plan.units:
        names += level_members(unit)
    return names


def quiet_limit(plan: DataflowPlan) -> int:
    """Cycles without a beat after which a bench gives up."""
    return 4 * plan.interval_bound + 10_000


def bench_files(plan: DataflowPlan, top: DataflowTop, frames: int) -> dict[str, str]:
    """Files of the package's tb/ by name; ``frames`` is the number of test vectors."""
    return {
        "tb.v": _verilog_bench(plan),
        "Makefile": template(PACKAGE, "Makefile"),
        "harness.cpp": template(PACKAGE, "harness.cpp"),
        "waivers.vlt": WAIVERS,
        "design.vh": _verilog_header(plan, frames),
        "design.h": _cpp_header(plan, top),
        "probe.v": _probe(plan, top),
    }


def _constants(plan: DataflowPlan) -> dict[str, int]:
    """Constants of the Verilog bench."""
    sizes: dict[str, int] = {}
    for port in (*plan.inputs, *plan.outputs):
        sizes[f"{constant_prefix(port)}_BYTES"] = beat_bytes(port.shape)
        sizes[f"{constant_prefix(port)}_BEATS"] = port.shape.beats
    return sizes | {"QUIET_LIMIT": quiet_limit(plan)}


def _verilog_bench(plan: DataflowPlan) -> str:
    """The self-checking bench, with a source and a sink for each port."""
    environment = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    sides = (
        [
            {"bus": p.bus, "sized": constant_prefix(p), "end": p.suffix, "file": vector_file(p)}
            for p in ports
        ]
        for ports in (plan.inputs, plan.outputs)
    )
    text = environment.from_string(template(PACKAGE, "tb.v"))
    return text.render(dict(zip(("inputs", "outputs"), sides, strict=True))) + "\n"


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
    lines = [
        f"constexpr uint64_t QUIET_LIMIT = {quiet_limit(plan)};",
        "// Of a stream: its bus, beats of a frame, bytes of a beat, and where a beat's bytes are.",
        "struct Port { const char* name; uint64_t beats, bytes, offset; };",
    ]
    for way, ports in (("INPUT", plan.inputs), ("OUTPUT", plan.outputs)):
        rows = ", ".join(
            f'{{"{port.bus}", {port.shape.beats}, {beat_bytes(port.shape)}, {offset}}}'
            for port, offset in zip(ports, _offsets(ports), strict=True)
        )
        lines += [
            f"constexpr int {way}_COUNT = {len(ports)};",
            f"constexpr Port {way}S[] = {{{rows}}};",
        ]
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


def _offsets(ports: Sequence[Port]) -> list[int]:
    """Where each port's beat begins among the bytes of all of them."""
    return [*accumulate((beat_bytes(port.shape) for port in ports), initial=0)][:-1]


def _bundles(plan: DataflowPlan) -> dict[str, tuple[str, list[tuple[str, int]]]]:
    """The streams' signals of a kind side by side, as the probe has them: direction, and the
    signals of the design with their bits."""
    kinds = (
        (plan.inputs, "in", ("valid", "input"), ("ready", "output"), ("last", "input")),
        (plan.outputs, "out", ("valid", "output"), ("ready", "input"), ("last", "output")),
    )
    bundles = {}
    for ports, name, *flags in kinds:
        for kind, way in (("data", flags[0][1]), *flags):
            signals = [
                (f"{port.bus}_t{kind}", 8 * beat_bytes(port.shape) if kind == "data" else 1)
                for port in ports
            ]
            bundles[f"{name}_{kind}"] = way, signals
    return bundles


def _probe(plan: DataflowPlan, top: DataflowTop) -> str:
    """Wrapper that has the streams side by side, and watches levels, work and the streams between
    units."""
    edges, levels = _edges(top), level_names(plan)
    bundles = _bundles(plan)
    inside = {name for _, signals in bundles.values() for name, _ in signals}
    ports = top_ports(top)
    lines = [
        "// The accelerator as benches drive it, signals of its streams side by side, with what",
        "// they watch: the most each level reached, cycles of work, and the beats on every stream",
        "// between units (each in whole bytes).",
        "module probe (",
        "    input clk,",
        "    input rst,",
    ]
    lines += [
        f"    {way} {vector(sum(bits for _, bits in signals))}{name},"
        for name, (way, signals) in bundles.items()
    ]
    lines += port_list(
        {n: p for n, p in ports.items() if n not in inside and not n.endswith("_tkeep")}
    )
    total_bytes = sum(map(element_bytes, edges.values()))
    lines += [
        f"    output {vector(32 * len(levels))}levels,",
        f"    output {vector(64 * len(edges))}work,",
        f"    output {vector(len(edges))}edge_beat,",
        f"    output {vector(8 * total_bytes)}edge_data",
        ");",
        "    top dut (",
        "        .clk(clk), .rst(rst),",
        ",\n".join(f"        .{name}({wire})" for name, wire in _wires(ports, bundles).items()),
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


def _wires(
    ports: dict[str, tuple[str, int]], bundles: dict[str, tuple[str, list[tuple[str, int]]]]
) -> dict[str, str]:
    """What the probe connects to each of the design's ports; nothing to TKEEP."""
    wires = {name: "" if name.endswith("_tkeep") else name for name in ports}
    for bundle, (_, signals) in bundles.items():
        start = 0
        for name, bits in signals:
            wires[name] = f"{bundle}[{start + bits - 1}:{start}]"
            start += bits
    return wires
