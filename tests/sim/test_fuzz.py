"""Random networks as packages: the Verilog in Icarus equals golden on every bit.

  pytest tests/sim/test_fuzz.py --fuzz 2000 -n 8      more of them; the seeds say which

A seed gives graph, plan, gaps and frames. Seeds that once failed stay in REGRESSIONS.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from hwgen.archs.package import files_of
from hwgen.emit.package import Source, manifest, write_package
from hwgen.emit.packing import pack_all, unpack_all
from hwgen.ir import execute
from tests.helpers.graphs import Case, random_case
from tests.helpers.ports_bench import frames_for
from tests.helpers.random_graphs import GRAPHS

network = pytest.importorskip("hwgen_sim.network", reason="hwgen_sim is not installed")
runner = pytest.importorskip("hwgen_sim.runner")
streams = pytest.importorskip("hwgen_sim.streams")

LONGEST = 3000
"""Cycles of a case."""
FIRST = 500_000
REGRESSIONS = {
    ("types", 50_007_800): "the last input beat is taken after the last output beat",
    ("branching", 50_016_900): "a concatenation needs more cycles than its inputs",
    ("branching", 50_028_500): "a row is released while windows before it wait: no deadlock",
}
"""Kinds and seeds that failed, and why."""
SEVERAL = [("ports", 60_000_000 + n * 100) for n in range(3)]
"""Networks with several inputs and outputs."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    kinds = list(GRAPHS)
    numbers = range(FIRST, FIRST + metafunc.config.getoption("--fuzz"))
    fresh = [(kinds[n % len(kinds)], n * 100) for n in numbers]
    metafunc.parametrize(("kind", "seed"), [*REGRESSIONS, *SEVERAL, *fresh])


def case_of(kind: str, seed: int) -> Case:
    """The first short case from this seed on; a hundred seeds are its own."""
    for attempt in range(seed, seed + 100):
        case = random_case(attempt, kind)
        if case.plan.timing(case.frames).ends[-1] <= LONGEST:
            return case
    raise AssertionError(f"no short {kind} from seed {seed} on")


def test_verilog_equals_golden(kind: str, seed: int, tmp_path: Path) -> None:
    case, rng = case_of(kind, seed), Random(seed)
    print(case)
    plan, graph = case.plan, case.graph
    files = files_of(graph, plan)
    source = Source("random", "0" * 64, {"arch": "dataflow"})
    write_package(tmp_path, files, manifest(files, source, graph.name))
    x = frames_for(plan, case.frames, seed)
    modes = ("always", "random", "bursty")
    gaps = [streams.Gaps(rng.choice(modes), rng.randrange(1000)) for _ in range(2)]
    print(gaps)
    try:
        run = network.run_network(
            tmp_path, "icarus", pack_all(x, plan.inputs), source_gaps=gaps[0], sink_gaps=gaps[1]
        )
    except runner.SimulatorMissing as missing:
        pytest.skip(str(missing))
    golden = execute(graph, x)
    for name, got in unpack_all(run.outputs, plan.outputs, graph).items():
        assert np.array_equal(got, golden[name]), name
