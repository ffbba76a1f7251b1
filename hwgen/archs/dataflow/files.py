"""The files of a package that are the dataflow architecture's own."""

from __future__ import annotations

from collections.abc import Callable

from ...aliases import Array
from ...emit.packing import pack, to_hex
from ...emit.parts import Parts, dump_json, model_hash
from ...emit.verilog import to_verilog
from ...identifiers import identifier
from ...plan.dataflow.plan import DataflowPlan
from . import documents, testbench
from .bench import BENCHES
from .top import DataflowTop


def dataflow_parts(
    plan: DataflowPlan, inputs: Array, outputs: Array, progress: Callable[[str], None] | None
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
        "vectors/input.hex": to_hex(pack(inputs, plan.input)),
        "vectors/output.hex": to_hex(pack(outputs, plan.output)),
        f"{identifier(graph.name)}.h": documents.c_header(plan, identity),
        "INTEGRATE.md": documents.integration_guide(plan, identity),
    }
    bench = testbench.bench_files(plan, top, len(inputs))
    texts |= {f"tb/{name}": text for name, text in bench.items()}
    return Parts(design, texts, BENCHES)
