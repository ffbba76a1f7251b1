"""hwgen verify: the RTL against golden."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .. import api
from ..archs.package import Package
from ..console import Output
from ..emit.contents import owned
from ..emit.place import check_files, followed, write_files
from ..errors import naming
from ..flow.comparison import Verification
from ..flow.memory import Memory
from ..flow.trace import trace_events
from .arguments import (
    add_package,
    load_arrays,
    named_files,
    number,
    only_file,
    place,
    simulators,
    whole,
)

TEXT = "RTL against golden, every bit"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_package(sub)
    sub.add_argument(
        "--sim",
        choices=simulators(),
        help="simulator that runs the design (default: the quickest that is installed); of a tiled "
        "design one that is named runs the cocotb bench, which is slower and compares all that is "
        "stored",
    )
    group = sub.add_mutually_exclusive_group()
    group.add_argument(
        "--inputs", action="append", metavar="[NAME=]FILE.npy",
        help="frames to simulate: an array of integers (frames, *shape); once for each input",
    )  # fmt: skip
    sub.add_argument(
        "--float", action="store_true", help="the arrays of --inputs are real values, not integers"
    )
    group.add_argument(
        "--random", type=whole, metavar="N", help="simulate N random frames, of a fixed seed"
    )
    sub.add_argument(
        "--wave",
        action="store_true",
        help="record all signals in results/wave.vcd (Icarus: wave.fst)",
    )
    sub.add_argument(
        "--trace", type=place, metavar="FILE.json",
        help="write when units, loads, tiles and stores began and ended, for Perfetto",
    )  # fmt: skip
    memory = sub.add_argument_group("external memory of the tiled architecture")
    memory.add_argument(
        "--mem-latency", type=whole, metavar="CYCLES",
        help=f"cycles until external memory answers (default {Memory.latency})",
    )  # fmt: skip
    memory.add_argument(
        "--mem-rate", type=number, metavar="R",
        help=f"beats that external memory moves a cycle (default {Memory.rate:g})",
    )  # fmt: skip
    memory.add_argument(
        "--mem-gaps", type=whole, metavar="SEED",
        help="each channel of external memory pauses at random besides, as this seed says",
    )  # fmt: skip


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Carry out the command. Returns the exit code."""
    memory = _memory(arguments)
    package = Package.open(arguments.package)
    files = named_files(package.graph, "--inputs", arguments.inputs or [])
    if arguments.trace is not None:
        read = [*files.values(), *owned(package.path, package.manifest)]
        check_files([arguments.trace], read)
    inputs = load_arrays(files) if files else None
    for name in package.changed():
        output.say(f"note: {name} has been changed since the build; it is simulated as it is")
    if memory is not None and memory.gaps is not None:
        output.say(f"note: external memory pauses at random, of seed {memory.gaps}")
    slow = arguments.sim is None and package.architecture.default_simulator() == "python"
    with naming(only_file(files)), output.steps() as say:
        if slow:
            say("no C++ compiler with Verilator: using Amaranth's simulator (slow)")
        result = api.verify(
            package, arguments.sim, inputs, arguments.random, arguments.wave, say, memory,
            trace=arguments.trace is not None, real=arguments.float,
        )  # fmt: skip
    output.say(verdict(result))
    if arguments.trace is not None:
        output.say(_write_trace(arguments.trace, result, package.graph.name))
    if result.run.wave is not None:
        output.say(f"waveform: {result.run.wave}")
    output.json(verification_json(result))
    return 0 if result.equal else 1


def _write_trace(file: Path, result: Verification, design: str) -> str:
    """Write the measured timeline. Returns what is to be said of it."""
    if not result.timeline:
        return "no timeline is written: the design did not come to its end"
    text = json.dumps(trace_events(result.timeline, design), ensure_ascii=False) + "\n"
    write_files({followed(file): text.encode()})
    return f"timeline: {file} (https://ui.perfetto.dev shows it)"


def _memory(arguments: argparse.Namespace) -> Memory | None:
    """How external memory answers; None where nothing was said."""
    given = {
        "latency": arguments.mem_latency,
        "rate": arguments.mem_rate,
        "gaps": arguments.mem_gaps,
    }
    given = {name: value for name, value in given.items() if value is not None}
    return Memory(**given) if given else None


def verdict(result: Verification) -> str:
    """A verification in a sentence."""
    if result.difference is not None:
        return f"RTL differs from golden: {result.difference}"
    return (
        f"RTL equals golden on every bit of {result.frames} frames ({result.simulator}): "
        f"interval {result.interval} cycles, latency {result.latency}, "
        f"{result.run.seconds:.1f} s"
    )


def verification_json(result: Verification) -> dict[str, Any]:
    """A verification as a JSON value."""
    return {
        "simulator": result.simulator,
        "frames": result.frames,
        "equal": result.equal,
        "difference": None if result.difference is None else str(result.difference),
        "interval_measured": result.interval,
        "latency_measured": result.latency,
        "changed": list(result.changed),
        "seconds": round(result.run.seconds, 3),
    }
