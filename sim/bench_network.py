"""Cocotb bench of a whole package: drives frames, records beats, checks control and status.

What to do is in the JSON file that HWGEN_SIM_JOB names (see network.py, which writes it). Data
is recorded, not judged: whoever called compares it and can name the layer. All else is checked
here: stream contract, TLAST and TKEEP of each beat, undefined bits, the registers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np

from hwgen.gateware.stream.csr import MAGIC, REGISTERS, VERSION
from hwgen.plan.dataflow.ports import frame_begins, frame_ends

from .streams import AxiLite, Gaps, Sink, Source, Tap, axis, reset, stream, text_bytes

JOB = "HWGEN_SIM_JOB"

ADDRESS = {register.name: register.offset for register in REGISTERS}


@cocotb.test()
async def network(dut: Any) -> None:
    """All frames of the job."""
    job = json.loads(Path(os.environ[JOB]).read_text())
    sources = {row["bus"]: _source(dut, row) for row in job["sources"]}
    keeps = {row["bus"]: np.load(row["keep"]) for row in job["sinks"]}
    frames = len(np.load(job["sources"][0]["frames"], mmap_mode="r"))
    sinks = {
        row["bus"]: Sink(
            *axis(dut, row["bus"], ("tdata", "tkeep", "tlast")),
            frames * len(keeps[row["bus"]]), Gaps(*row["gaps"]), row["bus"],
        )
        for row in job["sinks"]
    }  # fmt: skip
    control = AxiLite(dut, dut.clk)
    driven = [s for source in sources.values() for s in (source.valid, *source.fields)]
    ready = [sink.ready for sink in sinks.values()]
    await reset(dut.clk, dut.rst, [*driven, *ready, *control.idle])
    await _check_identity(control, job["model_hash"])
    taps = {
        name: Tap(getattr(dut, f"probe_beat_{name}"), getattr(dut, f"probe_data_{name}"))
        for name in job["edges"]
    }
    cycles = await stream(
        dut.clk, [*sources.values()], [*sinks.values()], job["quiet_limit"], [*taps.values()],
        job["tail"],
    )  # fmt: skip
    first = {bus: source.taken[:: len(source.beats) // frames] for bus, source in sources.items()}
    ends = {bus: s.times[len(keeps[bus]) - 1 :: len(keeps[bus])] for bus, s in sinks.items()}
    for row in job["sinks"]:
        np.save(row["frames"], _output(sinks[row["bus"]], keeps[row["bus"]], frames))
    registers = {name: await control.read(ADDRESS[name]) for name in ADDRESS}
    _check_counters(registers, frame_begins(first.values()), frame_ends(ends.values()))
    for name, tap in taps.items():
        width = len(tap.data)
        data, unknown = text_bytes(tap.rows, width) if tap.rows else (np.zeros((0, 1)), None)
        np.savez(job["edges"][name], data=data, unknown=unknown is not None and unknown.any())
    result = {"cycles": cycles, "ports": first | ends, "registers": registers}
    Path(job["result"]).write_text(json.dumps(result))


def _source(dut: Any, row: dict[str, Any]) -> Source:
    """What drives an input with its frames."""
    frames = np.load(row["frames"])
    _, beats, size = frames.shape
    words = [int.from_bytes(each.tobytes(), "little") for each in frames.reshape(-1, size)]
    return Source(
        *axis(dut, row["bus"], ("tdata", "tlast")),
        [(word, int(n % beats == beats - 1)) for n, word in enumerate(words)],
        Gaps(*row["gaps"]),
    )


def _output(sink: Sink, keep: np.ndarray, frames: int) -> np.ndarray:
    """Bytes (frames, beats, bytes), zero where TKEEP is low; checks TKEEP and TLAST."""
    width = len(sink.fields[0])
    data, unknown = text_bytes(sink.rows[0], width)
    shape = (frames, len(keep), width // 8)
    kept = np.broadcast_to(keep, shape)
    bad = np.argwhere((unknown.reshape(shape) != 0) & kept)
    if bad.size:
        frame, beat, byte = bad[0].tolist()
        raise AssertionError(f"frame {frame}, beat {beat}, byte {byte} of {sink.name} is undefined")
    strobes = ["".join("01"[bit] for bit in row[::-1]) for row in keep.astype(int).tolist()]
    marks = ["0"] * (len(keep) - 1) + ["1"]
    for what, got, want in (("TKEEP", sink.rows[1], strobes), ("TLAST", sink.rows[2], marks)):
        for n, value in enumerate(got):
            beat = n % len(keep)
            assert value == want[beat], (
                f"{what} of frame {n // len(keep)}, beat {beat} is {value}, expected {want[beat]}"
            )
    return np.where(kept, data.reshape(shape), 0).astype(np.uint8)


async def _check_identity(control: AxiLite, model_hash: int) -> None:
    for name, want in (
        ("ID", MAGIC),
        ("VERSION", VERSION),
        ("HASH_LO", model_hash & 0xFFFFFFFF),
        ("HASH_HI", model_hash >> 32),
        ("CONTROL", 1),
        ("STATUS", 1),
        ("FRAMES", 0),
    ):
        got = await control.read(ADDRESS[name])
        assert got == want, f"register {name} is {got:#x}, expected {want:#x}"


def _check_counters(registers: dict[str, int], first: list[int], ends: list[int]) -> None:
    """The registers say of the frames what the bench saw."""
    assert registers["STATUS"] == 1, f"STATUS is {registers['STATUS']:#x} after the last frame"
    assert registers["FRAMES"] == len(ends), f"FRAMES is {registers['FRAMES']}, not {len(ends)}"
    latencies = {end - begin + 1 for begin, end in zip(first, ends, strict=True)}
    assert registers["LATENCY"] in latencies, (
        f"LATENCY is {registers['LATENCY']}, the frames took {sorted(latencies)}"
    )
    if len(ends) > 1:
        interval = ends[-1] - ends[-2]
        assert registers["INTERVAL"] == interval, (
            f"INTERVAL is {registers['INTERVAL']}, the last two frames ended {interval} apart"
        )
