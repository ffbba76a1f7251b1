"""What goes with the Verilog of a dataflow design: C header, integration guide."""

from __future__ import annotations

from ...emit.c.text import comment, guarded
from ...emit.documents import (
    markdown,
    order_row,
    register_defines,
    register_rows,
    simulation_guide,
    unmapped,
)
from ...emit.packing import beat_bytes, element_bytes
from ...gateware.stream.csr import ADDRESS_BITS, REGISTERS, VERSION
from ...identifiers import identifier
from ...ir import Graph
from ...plan.dataflow.plan import DataflowPlan
from ...plan.dataflow.units import StreamShape
from .bench import BENCHES


def c_header(plan: DataflowPlan, model_hash: int) -> str:
    """Register map, stream shapes and identity for software."""
    name = identifier(plan.graph.name)
    prefix = name.upper()
    out = plan.output
    title = f"Accelerator of the network {comment(plan.graph.name)}"
    lines = [
        "/* Registers of the AXI4-Lite port: byte offsets, and bits of their fields. */",
    ]
    lines += register_defines(prefix, REGISTERS, VERSION, model_hash)
    lines += [
        "",
        "/* Streams: beats of a frame, bytes and elements of a beat, bytes of an element. */",
    ]
    for way, stream in (("IN", plan.input), ("OUT", out)):
        lines += [
            f"#define {prefix}_{way}_BEATS {stream.beats}u",
            f"#define {prefix}_{way}_BEAT_BYTES {beat_bytes(stream)}u",
            f"#define {prefix}_{way}_LANES {stream.lanes}u",
            f"#define {prefix}_{way}_ELEMENT_BYTES {element_bytes(stream.bits)}u",
        ]
    body = guarded(name, "\n".join([*lines, ""]))
    return f"/* {title}: registers and streams. Made by hwgen. */\n{body}"


def _stream_rows(stream: StreamShape, graph: Graph, name: str) -> str:
    qtype, shape = graph.tensors[name].type, graph.tensors[name].shape
    return (
        f"| shape | {' x '.join(map(str, shape))} (row, column, channel; channel fastest) |\n"
        f"{order_row(graph, name)}"
        f"| element | {qtype}: {'signed' if qtype.signed else 'unsigned'}, {qtype.width} bits, "
        f"in {element_bytes(stream.bits)} byte(s), "
        f"{'sign' if qtype.signed else 'zero'} extended |\n"
        f"| elements a beat | {stream.lanes} (element 0 in the lowest byte) |\n"
        f"| beats a pixel, a frame | {stream.beats // stream.pixels}, {stream.beats} |\n"
        f"| TDATA | {8 * beat_bytes(stream)} bits |\n"
    )


def integration_guide(plan: DataflowPlan, model_hash: int) -> str:
    """Ports, packing, reset, registers, and an instantiation to copy."""
    graph = plan.graph
    out = plan.output
    source = graph.inputs[0]
    in_bits, out_bits = 8 * beat_bytes(plan.input), 8 * beat_bytes(out)
    return f"""# Integrating {markdown(graph.name)}

Sources: `rtl/*.v`, top module `top`. Memory images: `mem/*.hex`, read with `$readmemh` from the
directory that the macro `HWGEN_MEM_DIR` names (default `"mem/"`, with its trailing slash).

One clock `clk`; reset `rst` is synchronous and active high, one cycle is enough. After reset the
accelerator accepts frames at once; software is not needed.

## ifmap: `s_axis_*`, AXI4-Stream
| | |
|---|---|
{_stream_rows(plan.input, graph, source.name)}
TLAST marks the last beat of a frame. A frame that ends early is completed with
{source.type.zero_point}, one that goes on is dropped up to its TLAST; both set a sticky error.
The unused elements of a pixel's last beat are ignored.

## ofmap: `m_axis_*`, AXI4-Stream
| | |
|---|---|
{_stream_rows(out, graph, graph.outputs[0])}
TLAST marks the last beat of a frame; TKEEP is low for unused bytes of a pixel's last beat.

## Registers: `s_axi_*`, AXI4-Lite, 32 bits
| offset | name | access | meaning |
|---|---|---|---|
{register_rows(REGISTERS)}
This network's hash is 0x{model_hash:016x}.

{unmapped(ADDRESS_BITS)}

LATENCY counts from the cycle in which a frame's first beat is taken at `s_axis` to that in which
its last one is taken at `m_axis`, both counted; cycles that the source or the sink waits count too.
One frame is measured at a time: those that begin meanwhile are not, and the next one that begins
behind its end is. INTERVAL counts from one frame's last beat out to the next one's; after a single
frame it counts from reset. Both read 0 until a frame has been finished.

## Instantiation
```verilog
top {identifier(graph.name)} (
    .clk(clk),
    .rst(rst),
    .s_axis_tdata(ifmap_tdata),    // [{in_bits - 1}:0]
    .s_axis_tvalid(ifmap_tvalid),
    .s_axis_tready(ifmap_tready),
    .s_axis_tlast(ifmap_tlast),
    .m_axis_tdata(ofmap_tdata),    // [{out_bits - 1}:0]
    .m_axis_tkeep(ofmap_tkeep),    // [{out_bits // 8 - 1}:0]
    .m_axis_tvalid(ofmap_tvalid),
    .m_axis_tready(ofmap_tready),
    .m_axis_tlast(ofmap_tlast),
    // AXI4-Lite; tie the valids low when it is not used
    .s_axi_awaddr(6'd0), .s_axi_awvalid(1'b0), .s_axi_awready(),
    .s_axi_wdata(32'd0), .s_axi_wstrb(4'd0), .s_axi_wvalid(1'b0), .s_axi_wready(),
    .s_axi_bresp(), .s_axi_bvalid(), .s_axi_bready(1'b1),
    .s_axi_araddr(6'd0), .s_axi_arvalid(1'b0), .s_axi_arready(),
    .s_axi_rdata(), .s_axi_rresp(), .s_axi_rvalid(), .s_axi_rready(1'b1)
);
```

## Simulation without hwgen
`make -f tb/Makefile icarus` or `make -f tb/Makefile verilator` in this directory drives the test
vectors of `vectors/` and compares every beat.

{simulation_guide(graph, BENCHES)}"""
