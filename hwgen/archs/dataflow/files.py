"""The files of a package that are the dataflow architecture's own."""

from __future__ import annotations

from collections.abc import Sequence

from ...aliases import Arrays, Progress
from ...emit.packing import pack_all, to_hex
from ...emit.parts import Parts, dump_json, model_hash
from ...emit.verilog import to_verilog
from ...identifiers import identifier
from ...plan.dataflow.plan import DataflowPlan
from ...plan.dataflow.ports import Port
from . import documents, testbench
from .bench import benches, vector_file
from .top import DataflowTop


def dataflow_parts(
    plan: DataflowPlan, inputs: Arrays, outputs: Arrays, progress: Progress | None
) -> Parts:
    """The design and its files; inputs, outputs : the test vectors."""
    graph, identity = plan.graph, model_hash(plan.graph)
    top = DataflowTop(plan, identity)
    design = to_verilog(top, "top", progress)
    timing = plan.timing()
    estimate = {
        "interval": timing.interval,
        "latency": timing.latency,
        "high_water": timing.high_water,
        "starved": timing.starved,
        "blocked": timing.blocked,
    }
    texts = {
        "plan.json": dump_json(plan.to_json() | {"estimate": estimate}),
        **_vectors(plan.inputs, inputs),
        **_vectors(plan.outputs, outputs),
        f"{identifier(graph.name)}.h": documents.c_header(plan, identity),
        "INTEGRATE.md": documents.integration_guide(plan, identity),
    }
    frames = len(next(iter(inputs.values())))
    bench = testbench.bench_files(plan, top, frames)
    texts |= {f"tb/{name}": text for name, text in bench.items()}
    return Parts(design, texts, benches(plan))


def _vectors(ports: Sequence[Port], arrays: Arrays) -> dict[str, str]:
    """The frames that pass each port, a beat a line."""
    packed = pack_all(arrays, ports)
    return {vector_file(port): to_hex(packed[port.tensor]) for port in ports}
