"""How synthesis deals with its tools: routers that go round in circles, tools that say nothing.

Yosys and nextpnr are played by a script, which prints the lines that a test gives it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hwgen.archs.package import Package
from hwgen.errors import ToolError
from hwgen.flow import tools
from hwgen.flow.fpga import watched
from hwgen.flow.fpga.harness import NAME
from hwgen.flow.fpga.routing import ROUTERS
from hwgen.flow.fpga.synth import synthesize
from tests.helpers.packages import tiny_package

YOSYS = f"""
import json, sys
PORT = dict(direction="input", bits=[2])
CELL = dict(type="TRELLIS_FF", parameters=dict(), connections=dict(), port_directions=dict())
if sys.argv[-1] == "ports.ys":
    file, name, module = "ports.json", "top", dict(ports=dict(clk=PORT, rst=PORT), cells=dict())
else:
    cells = {{"dut.unit_fc.sum": CELL}}
    file, name, module = "netlist.json", "{NAME}", dict(ports=dict(), cells=cells)
json.dump(dict(modules={{name: module}}), open(file, "w"))
"""
NEXTPNR = """
import json, sys, time
arguments = sys.argv[1:]
router = arguments[arguments.index("--router") + 1]
seed = arguments[arguments.index("--seed") + 1]
with open("{calls}", "a") as calls:
    print(router, seed, file=calls)
of_seeds = json.load(open("{lines}"))[router]
for line in of_seeds.get(seed, of_seeds["any"]):
    if line == "SLEEP":
        time.sleep(600)
    print(line, flush=True)
clock = {{"achieved": 100.0 + int(seed), "constraint": 150.0}}
json.dump({{"utilization": {{}}, "fmax": {{"clk": clock}}, "critical_paths": []}},
          open("report.json", "w"))
"""


def passes(counts: list[int]) -> list[str]:
    """The log of router2."""
    return [
        f"Info:     iter={n} wires=421337 overused={left} overuse={2 * left} archfail=NA"
        for n, left in enumerate(counts, 1)
    ]


def batches(counts: list[int]) -> list[str]:
    """The log of router1."""
    return [
        f"Info: {1000 * n:10} | {n:8} {n:10} | {7:4} {993:5} | {left:9}| {1:10.2f} {n:10.2f}|"
        for n, left in enumerate(counts, 1)
    ]


Lines = list[str] | dict[str, list[str]]
"""A router's log, or one for each seed, with that of all others at "any"."""
CONVERGES = [900, 300, 310, 40, 7, 8, 8, 7, 3, 0]
CIRCLES = [2291, 1200, 800, *(520 + 171 * (n % 2) for n in range(10_000))]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return tiny_package(tmp_path_factory.mktemp("package"))


@pytest.fixture
def run(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[dict[str, Any], list[str], list[str]]]]:
    """Synthesizes with routers that print the given counts; gives the result, which routers with
    which seeds were called, and what was said."""
    names = {"calls": tmp_path / "calls", "lines": tmp_path / "lines.json"}

    def tool(name: str, text: str) -> Callable[..., tools.Tool]:
        script = tmp_path / name
        script.write_text(f"#!{sys.executable}\n{text}")
        script.chmod(0o755)
        return lambda *family: tools.Tool(name, str(script), "0", "", "")

    monkeypatch.setattr(tools, "yosys", tool("yosys", YOSYS))
    monkeypatch.setattr(tools, "nextpnr", tool("nextpnr", NEXTPNR.format(**names)))
    monkeypatch.setenv("HWGEN_CACHE", str(tmp_path / "cache"))

    def go(router2: Lines, router1: Lines, **options: Any):
        lines = {"router2": router2, "router1": router1}
        of_seeds = {k: v if isinstance(v, dict) else {"any": v} for k, v in lines.items()}
        names["lines"].write_text(json.dumps(of_seeds))
        said: list[str] = []
        try:
            result = synthesize(package, "ecp5-85k-6", progress=said.append, **options)
        finally:
            calls = names["calls"].read_text().splitlines() if names["calls"].exists() else []
        return result, calls, said

    yield go


def test_the_first_router_is_enough_where_it_converges(run) -> None:
    result, calls, said = run(passes(CONVERGES), [])
    assert calls == ["router2 1"]
    assert result["router"] == "router2" and result["fmax_mhz"] == 101
    assert result["convergence"] == list(enumerate(CONVERGES, 1))
    assert "nextpnr: routing, step 4, 40 wires with two signals" in said


def test_a_router_that_goes_round_in_circles_gives_way_to_the_next(run) -> None:
    result, calls, said = run(passes(CIRCLES), batches([24_000, 9000, 100, 0]), tries=3)
    # What has stalled once is not tried again: it takes minutes, and other seeds change little.
    assert calls == ["router2 1", "router1 1", "router1 2", "router1 3"]
    assert result["router"] == "router1" and result["seed"] == 3
    assert result["convergence"] == [(1000, 24_000), (2000, 9000), (3000, 100), (4000, 0)]
    stalls = [text for text in said if "stalled" in text]
    # The least value comes after step 4, and the router's patience later it is enough.
    last = 4 + ROUTERS[0].patience
    assert stalls == [
        "nextpnr: router2 stalled: wires with two signals: 520 after step 4, "
        f"{CIRCLES[last - 1]} after step {last}"
    ]


def test_where_no_router_ends_the_reason_and_ways_out_are_said(run) -> None:
    with pytest.raises(ToolError, match="no router found a way") as caught:
        run(passes(CIRCLES), batches([24_000, *([5000] * 1000)]))
    text = str(caught.value)
    assert "router2 stalled" in text and "router1 stalled" in text
    assert "5,000 after step 2,000" in text
    assert "--array" in text and "--seed" in text


def test_a_seed_that_stalls_takes_nothing_from_those_that_are_routed(run) -> None:
    circles = batches([24_000, *([5000] * 1000)])
    router2 = {"2": passes(CIRCLES), "any": passes(CONVERGES)}
    result, calls, said = run(router2, circles, tries=3)
    assert calls == ["router2 1", "router2 2", "router1 2", "router2 3"]
    assert result["fmax_mhz_of_seeds"] == {"1": 101, "3": 103} and result["seed"] == 3
    assert sum("stalled" in text for text in said) == 2


def test_slow_progress_is_progress(run) -> None:
    counts = [10_000 - n // (ROUTERS[0].patience - 1) for n in range(200)]
    result, calls, _ = run(passes([*counts, 0]), [])
    assert calls == ["router2 1"] and result["convergence"][-1] == (201, 0)


def test_a_tool_that_says_nothing_is_ended(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HWGEN_CACHE", str(tmp_path))
    script = "import time; print('a line', flush=True); time.sleep(600)"
    begin = time.monotonic()
    with pytest.raises(ToolError, match=r"said nothing for 0.01 minutes and was ended:\na line"):
        watched.call(
            [sys.executable, "-c", script], tmp_path, "yosys", lambda line: None, silence=0.6
        )
    assert time.monotonic() - begin < 60


def test_a_tool_that_speaks_is_not_ended(tmp_path: Path) -> None:
    # In all longer than the silence that ends it, each silence far shorter.
    script = "import time\nfor n in range(11): print(n, flush=True); time.sleep(0.5)"
    lines: list[str] = []
    watched.call([sys.executable, "-c", script], tmp_path, "yosys", lines.append, silence=5)
    assert lines == [f"{n}\n" for n in range(11)]
