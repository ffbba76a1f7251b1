"""What goes with a tiled engine: C header and integration guide."""

from __future__ import annotations

from collections.abc import Iterable

from ...contract.engine import EngineShape
from ...contract.isa import ErrorCode
from ...emit.c.text import comment, guarded
from ...emit.documents import (
    markdown,
    order_row,
    register_defines,
    register_rows,
    simulation_guide,
    unmapped,
)
from ...gateware.engine.csr import ADDRESS_BITS, REGISTERS, VERSION
from ...identifiers import identifier, suffixes
from ...ir import Graph, Tensor
from ...numeric import type_text
from ...plan.tiled.network.tasks import Stored
from ...plan.tiled.plan import TiledPlan
from .bench import BENCHES
from .ends import input_area, output_area

ERRORS = {
    ErrorCode.NONE: "the program came to its end",
    ErrorCode.UNKNOWN_OP: "a descriptor asks for nothing that there is",
    ErrorCode.LOAD: "a LOAD can not be carried out",
    ErrorCode.STORE: "a STORE can not be carried out",
    ErrorCode.COMPUTE: "a COMPUTE can not be carried out",
    ErrorCode.READ: "external memory answered a load with an error",
    ErrorCode.WRITE: "external memory answered a store with an error",
    ErrorCode.FETCH: "external memory answered the reading of a descriptor with an error",
    ErrorCode.LOAD_OUTSIDE: "a load reads outside the memory image",
    ErrorCode.STORE_OUTSIDE: "a store writes outside the image, or below WRITE_FROM",
    ErrorCode.FETCH_OUTSIDE: "the program goes on outside the memory image, or at PROGRAM_END",
    ErrorCode.STALL: "all descriptors wait for some that never come",
    ErrorCode.IDENTITY: "the program was made for another engine: ENGINE_LO, ENGINE_HI",
}
"""ErrorCode for a reader of the guide."""


def places(plan: TiledPlan) -> dict[str, tuple[int, str]]:
    """What software must know of the memory image: value and meaning by name."""
    program = plan.program
    (input_at, input_size), (output_at, output_size) = input_area(plan), output_area(plan)
    found = {
        "IMAGE_BYTES": (program.writable, "bytes of mem/image.hex"),
        "MEMORY_BYTES": (len(program.memory), "bytes of external memory: MEM_LIMIT"),
        "PROGRAM_AT": (program.start, "where the program begins: PROGRAM"),
        "PROGRAM_END_AT": (program.end, "where it ends: PROGRAM_END"),
        "WRITABLE_AT": (program.writable, "where the engine begins to write: WRITE_FROM"),
        "INPUT_AT": (input_at, "where the ifmap goes"),
        "INPUT_BYTES": (input_size, "its bytes"),
        "OUTPUT_AT": (output_at, "where the ofmap comes from"),
        "OUTPUT_BYTES": (output_size, "its bytes"),
    }
    for kind, edges in (("INPUT", _inputs(plan)), ("OUTPUT", _outputs(plan))):
        if len(edges) == 1:
            continue  # it is all there is
        words = suffixes([edge.name for edge, _ in edges])
        for word, (edge, stored) in zip(words, edges, strict=True):
            key = f"{kind}{word.upper()}"
            title = f"{'ifmap' if kind == 'INPUT' else 'ofmap'} {comment(markdown(edge.name))}"
            found[f"{key}_AT"] = (program.tensors[stored.name], f"where {title} lies")
            found[f"{key}_BYTES"] = (stored.bytes, "its bytes")
    return found


def _inputs(plan: TiledPlan) -> list[tuple[Tensor, Stored]]:
    """The network's inputs, with what is stored of each."""
    names = [tensor.name for tensor in plan.graph.inputs]
    return _stored(plan, zip(names, plan.task_graph.sources, strict=True))


def _outputs(plan: TiledPlan) -> list[tuple[Tensor, Stored]]:
    """Its outputs."""
    return _stored(plan, zip(plan.graph.outputs, plan.task_graph.results, strict=True))


def _stored(plan: TiledPlan, names: Iterable[tuple[str, str]]) -> list[tuple[Tensor, Stored]]:
    return [(plan.graph.tensors[name], plan.task_graph.stored[place]) for name, place in names]


def c_header(plan: TiledPlan, identity: int) -> str:
    """Register map, layout of the memory image and identity for software."""
    name = identifier(plan.graph.name)
    prefix = name.upper()
    title = f"The network {comment(plan.graph.name)} on a tiled engine"
    lines = [
        "/* Registers of the AXI4-Lite port: byte offsets, and bits of their fields. The hash is",
        "   that of the engine: every network that was planned for it runs on it. */",
        *register_defines(prefix, REGISTERS, VERSION, identity),
        "",
        "/* What STATUS says in its field ERROR. */",
        *(f"#define {prefix}_ERROR_{code.name} {code.value}u /* {ERRORS[code]} */"
          for code in ErrorCode),
        "",
        "/* External memory: offsets from MEM_BASE, and bytes. */",
        *(f"#define {prefix}_{key} {value}u /* {text} */"
          for key, (value, text) in places(plan).items()),
    ]  # fmt: skip
    body = guarded(name, "\n".join([*lines, ""]))
    return f"/* {title}: registers and memory. Made by hwgen. */\n{body}"


def _tensor_rows(graph: Graph, tensor: Tensor, stored: Stored) -> str:
    kind, between = tensor.type, "nothing between"
    place = f"{stored.bits // 8} byte(s), lowest first"
    if stored.bits < 8:
        place = f"{stored.bits} bits, the first channel of a byte at its lowest bits"
        between = f"each pixel in {stored.pixel} byte(s) of its own, what is left of the last one 0"
    return (
        f"| shape | {' x '.join(map(str, tensor.shape))} (row, column, channel; "
        f"channel fastest, {between}) |\n"
        f"{order_row(graph, tensor.name)}"
        f"| element | {type_text(kind, 6)}: "
        f"{'signed' if kind.signed else 'unsigned'}, {kind.width} bits, in "
        f"{place}, {'sign' if stored.signed else 'zero'} extended |\n"
    )


def _sections(graph: Graph, kind: str, edges: list[tuple[Tensor, Stored]]) -> str:
    """How each input or output lies in memory."""
    titles = [kind] if len(edges) == 1 else [f"{kind} {markdown(edge.name)}" for edge, _ in edges]
    return "".join(
        f"### {title}\n| | |\n|---|---|\n{_tensor_rows(graph, *edge)}\n"
        for title, edge in zip(titles, edges, strict=True)
    )


def _instance(ports: dict[str, tuple[str, int]]) -> str:
    wires = [f"    .{name}({name})" for name in ports]
    sizes = [f"[{bits - 1}:0]" for _, bits in ports.values()]
    width = max(map(len, wires)) + 1
    commas = [*"," * (len(wires) - 1), ""]
    return "\n".join(
        f"{wire + comma:{width}}  // {size}"
        for wire, comma, size in zip(wires, commas, sizes, strict=True)
    )


def _engine(shape: EngineShape) -> str:
    rows = {
        "tile units": f"{shape.tiles}, each with an array, memories of feature maps, weights, "
        "psums and parameters",
        "array": f"{shape.pe} output channels x {shape.simd} ifmap values",
        "feature maps": f"{shape.feature_bytes} bytes",
        "weights": f"{shape.weight_words} words of {shape.weight_word_bytes} bytes",
        "ifmap values": f"{shape.ifmap_bits} bits, {shape.stored_bits} in memory",
        "weight values": f"{shape.weight_bits} bits",
        "psums": f"{shape.psum_words} words of {shape.pe} sums of {shape.psum_bits} bits",
        "requantizers": f"{shape.requantizers}, for a word of {shape.pe} sums",
        "parameters": f"{shape.parameter_words} words of {shape.parameter_bytes} bytes",
        "external memory": f"{shape.mem_width} bits",
        "built without": ", ".join(shape.without) or "nothing left out",
    }
    return "".join(f"| {key} | {value} |\n" for key, value in rows.items())


def integration_guide(plan: TiledPlan, identity: int, ports: dict[str, tuple[str, int]]) -> str:
    """Ports, registers, how to start, the memory image, errors, an instantiation to copy.

    ports : direction and bits of the top module's.
    """
    graph = plan.graph
    ifmaps, ofmaps = (
        _sections(graph, k, e) for k, e in (("ifmap", _inputs(plan)), ("ofmap", _outputs(plan)))
    )
    layout = "".join(f"| {k} | {value} | {text} |\n" for k, (value, text) in places(plan).items())
    errors = "".join(f"| {code.value} | {code.name} | {ERRORS[code]} |\n" for code in ErrorCode)
    tasks = "".join(
        f"| {n} | {markdown(task.name)} | {', '.join(map(markdown, task.layers))} |\n"
        for n, task in enumerate(plan.tasks)
    )
    return f"""# Integrating {markdown(graph.name)} on a tiled engine

Sources: `rtl/*.v`, top module `top`. The RTL does not depend on the network: weights and the
program are in external memory, and the same bitstream runs every network that was planned for this
engine.

| engine | |
|---|---|
{_engine(plan.shape)}
One clock `clk`; reset `rst` is synchronous and active high, one cycle is enough.

## Running a frame
1. Once: write the words of `mem/image.hex` to external memory from an address that is a multiple of
   32 on; write that address to MEM_BASE, and MEM_LIMIT, WRITE_FROM, PROGRAM and PROGRAM_END as
   below; write the two halves of the hash, which is that of the engine that this program was made
   for, to ENGINE_LO (0x{identity & 0xFFFFFFFF:08x}) and ENGINE_HI (0x{identity >> 32:08x}).
2. Write {"the ifmap to INPUT_AT" if len(graph.inputs) == 1 else "each ifmap to its INPUT_..._AT"}.
3. Write 7 to CONTROL: START, CLEAR, IRQ_ENABLE.
4. Wait for `irq`, or for DONE in STATUS. Where ERROR is 0 {
        "the ofmap is at OUTPUT_AT"
        if len(graph.outputs) == 1
        else "each ofmap is at its OUTPUT_..._AT"
    }. CYCLES,
   READ_BEATS and WRITE_BEATS are those of this run.

Another network: the same with its image; no reset is needed. After an error too. An engine carries
out nothing of a program that was made for another one.

## External memory
`mem/image.hex` has one beat of {plan.shape.bus_bytes} bytes a line in hexadecimal, its highest byte
first, for $readmemh: constants (weights, parameters, tables), then the program. What follows up to
MEMORY_BYTES is the engine's: ifmap, ofmap, and the tensors that do not stay on chip. It needs no
contents. All offsets are bytes from MEM_BASE.

| name | value | meaning |
|---|---|---|
{layout}
{ifmaps}{ofmaps}Descriptors and their fields: docs/engine_isa.md of hwgen.

## Registers: `s_axi_*`, AXI4-Lite, 32 bits
| offset | name | access | meaning |
|---|---|---|---|
{register_rows(REGISTERS)}
The hash is that of the engine, not of the network: 0x{identity:016x}.

{unmapped(ADDRESS_BITS)}

CYCLES counts from the cycle behind START's write to that in which the last descriptor is finished:
the latency of a frame, with the reading of the program, all loads and stores, and every cycle that
memory takes to answer. What the host takes to write the ifmap and to read the ofmap is not in it.

### ERROR
| code | name | meaning |
|---|---|---|
{errors}
ERROR_LAYER is the number of the task that the descriptor belongs to:

| number | task | layers of the network |
|---|---|---|
{tasks}
## External memory's port: `m_axi_*`, AXI4
INCR bursts of whole beats of up to 64, none of which crosses 4 KiB. Reads of one ID come back in
order.

## Instantiation
```verilog
top {identifier(graph.name)} (
    .clk(clk),
    .rst(rst),
{_instance(ports)}
);
```

## Simulation without hwgen
`make -f tb/Makefile verilator` in this directory runs the test vectors of `vectors/` (a byte a
line) with a model of external memory, and compares every byte of the ofmap. `tb/harness.cpp` says
at its head how other programs and frames are run.

{simulation_guide(graph, BENCHES)}"""
