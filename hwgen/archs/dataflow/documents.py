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
from ...numeric import type_text
from ...plan.dataflow.plan import DataflowPlan
from ...plan.dataflow.ports import INPUT, Port
from ...plan.dataflow.units import StreamShape
from .bench import benches, constant_prefix


def c_header(plan: DataflowPlan, model_hash: int) -> str:
    """Register map, stream shapes and identity for software."""
    name = identifier(plan.graph.name)
    prefix = name.upper()
    title = f"Accelerator of the network {comment(plan.graph.name)}"
    lines = [
        "/* Registers of the AXI4-Lite port: byte offsets, and bits of their fields. */",
    ]
    lines += register_defines(prefix, REGISTERS, VERSION, model_hash)
    lines += [
        "",
        "/* Streams: beats of a frame, bytes and elements of a beat, bytes of an element. */",
    ]
    for port in (*plan.inputs, *plan.outputs):
        own, stream = f"{prefix}_{constant_prefix(port)}", port.shape
        lines += [
            f"#define {own}_BEATS {stream.beats}u",
            f"#define {own}_BEAT_BYTES {beat_bytes(stream)}u",
            f"#define {own}_LANES {stream.lanes}u",
            f"#define {own}_ELEMENT_BYTES {element_bytes(stream.bits)}u",
        ]
    body = guarded(name, "\n".join([*lines, ""]))
    return f"/* {title}: registers and streams. Made by hwgen. */\n{body}"


def _stream_rows(stream: StreamShape, graph: Graph, name: str) -> str:
    qtype, shape = graph.tensors[name].type, graph.tensors[name].shape
    return (
        f"| shape | {' x '.join(map(str, shape))} (row, column, channel; channel fastest) |\n"
        f"{order_row(graph, name)}"
        f"| element | {type_text(qtype, 6)}: "
        f"{'signed' if qtype.signed else 'unsigned'}, {qtype.width} bits, "
        f"in {element_bytes(stream.bits)} byte(s), "
        f"{'sign' if qtype.signed else 'zero'} extended |\n"
        f"| elements a beat | {stream.lanes} (element 0 in the lowest byte) |\n"
        f"| beats a pixel, a frame | {stream.beats // stream.pixels}, {stream.beats} |\n"
        f"| TDATA | {8 * beat_bytes(stream)} bits |\n"
    )


_LATENCY = """\
LATENCY counts from the cycle in which a frame's first beat is taken at `s_axis` to that in which
its last one is taken at `m_axis`, both counted; cycles that the source or the sink waits count
too."""
_LATENCY_OF_SEVERAL = """\
A frame begins with its first beat at whichever input, and ends with its last beat at the last of
the outputs: FRAMES counts those that all outputs have given whole, IDLE says that no input has
begun one that some output has not ended. SHORT and LONG are about all inputs. While ENABLE is 0 an
input still takes frames that another input has begun. LATENCY counts from the cycle in which a
frame begins to that in which it ends, both counted; cycles that sources or sinks wait count too."""
_SEVERAL = """\
## Several streams
Frame n of each output is made from frame n of each input. The streams are independent: each has its
own handshakes and its own TLAST, and none of them has to begin or end together with another.

Serve all of them at once. Any stream may pause for any time, and the others then wait for it where
they have to; nothing is lost, and the outputs are the same. But the buffers inside are as deep as
streams need that are always ready, not as a frame. So do not make one stream wait for another: to
send one input whole before the next one begins, or to take one output whole before the next, stops
for ever where a layer needs both, or both come from one layer. Where a single DMA channel serves
several streams, put a FIFO of a frame's beats before each input and behind each output.

"""


def _input_section(port: Port, graph: Graph) -> str:
    head = f"Input {markdown(port.tensor)}" if port.suffix else "ifmap"
    zero = graph.tensors[port.tensor].type.zero_point
    return f"""## {head}: `{port.bus}_*`, AXI4-Stream
| | |
|---|---|
{_stream_rows(port.shape, graph, port.tensor)}
TLAST marks the last beat of a frame. A frame that ends early is completed with
{zero}, one that goes on is dropped up to its TLAST; both set a sticky error.
The unused elements of a pixel's last beat are ignored.
"""


def _output_section(port: Port, graph: Graph) -> str:
    head = f"Output {markdown(port.tensor)}" if port.suffix else "ofmap"
    return f"""## {head}: `{port.bus}_*`, AXI4-Stream
| | |
|---|---|
{_stream_rows(port.shape, graph, port.tensor)}
TLAST marks the last beat of a frame; TKEEP is low for unused bytes of a pixel's last beat.
"""


def _instance(port: Port) -> str:
    """Connections of a port's signals, in an instantiation to copy."""
    bits = 8 * beat_bytes(port.shape)
    wire = f"{'ifmap' if port.way == INPUT else 'ofmap'}{port.suffix}"
    signals = {"tdata": bits, "tkeep": bits // 8, "tvalid": 0, "tready": 0, "tlast": 0}
    if port.way == INPUT:
        del signals["tkeep"]
    return "".join(
        f"    .{port.bus}_{name}({wire}_{name}),{f'    // [{size - 1}:0]' if size else ''}\n"
        for name, size in signals.items()
    )


def integration_guide(plan: DataflowPlan, model_hash: int) -> str:
    """Ports, packing, reset, registers, and an instantiation to copy."""
    graph = plan.graph
    inputs = "\n".join(_input_section(port, graph) for port in plan.inputs)
    outputs = "\n".join(_output_section(port, graph) for port in plan.outputs)
    instance = "".join(map(_instance, (*plan.inputs, *plan.outputs)))
    several = len(plan.inputs) > 1 or len(plan.outputs) > 1
    latency = _LATENCY_OF_SEVERAL if several else _LATENCY
    return f"""# Integrating {markdown(graph.name)}

Sources: `rtl/*.v`, top module `top`. Memory images: `mem/*.hex`, read with `$readmemh` from the
directory that the macro `HWGEN_MEM_DIR` names (default `"mem/"`, with its trailing slash).

One clock `clk`; reset `rst` is synchronous and active high, one cycle is enough. After reset the
accelerator accepts frames at once; software is not needed.

{inputs}
{outputs}
{_SEVERAL if several else ""}## Registers: `s_axi_*`, AXI4-Lite, 32 bits
| offset | name | access | meaning |
|---|---|---|---|
{register_rows(REGISTERS)}
This network's hash is 0x{model_hash:016x}.

{unmapped(ADDRESS_BITS)}

{latency}
One frame is measured at a time: those that begin meanwhile are not, and the next one that begins
behind its end is. INTERVAL counts from one frame's last beat out to the next one's; after a single
frame it counts from reset. Both read 0 until a frame has been finished.

## Instantiation
```verilog
top {identifier(graph.name)} (
    .clk(clk),
    .rst(rst),
{instance}    // AXI4-Lite; tie the valids low when it is not used
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

{simulation_guide(graph, benches(plan))}"""
