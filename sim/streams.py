"""Drivers and monitors of streams, and an AXI4-Lite master, for cocotb benches.

All streams of a bench are stepped by one loop, one wake-up a clock cycle: what is slow is the
way between simulator and Python. Beats are given as integers before the run; what comes out is
kept as the simulator's text and compared in bulk after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

BitArray = np.ndarray[Any, np.dtype[np.uint8]]

MODES = ("always", "random", "bursty")
"""Kinds of gaps: none; a coin for each cycle; runs of willing and unwilling cycles."""

LONGEST_RUN = 12
RESET_CYCLES = 2
PERIOD_NS = 10


@dataclass(frozen=True)
class Gaps:
    """When one side of a stream is willing. Modes but ``always`` follow from the seed."""

    mode: str = "always"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"gaps {self.mode!r} are not one of {', '.join(MODES)}")

    def __str__(self) -> str:
        return self.mode if self.mode == "always" else f"{self.mode} (seed {self.seed})"

    def pattern(self) -> Iterator[bool]:
        """Willing or not, cycle by cycle, without end."""
        rng = Random(self.seed)
        while True:
            if self.mode == "always":
                yield True
            elif self.mode == "random":
                yield rng.random() < 0.5
            else:
                willing = rng.random() < 0.5
                for _ in range(rng.randint(1, LONGEST_RUN)):
                    yield willing


ALWAYS = Gaps()


class Watcher(Protocol):
    """Something that looks at the design in each cycle, just before the clock edge."""

    def sample(self, cycle: int) -> bool:
        """Whether a beat passed."""
        ...


class Source:
    """Offers beats, each until it is taken.

    ``fields`` are the signals that make up a beat, ``beats`` one integer for each of them;
    ``ready`` may be None: each beat is taken at once. Between beats the fields keep what they
    were. After the run ``taken`` has the cycle of each beat.
    """

    def __init__(
        self, valid: Any, ready: Any, fields: Sequence[Any], beats: Sequence[Sequence[int]],
        gaps: Gaps = ALWAYS,
    ) -> None:  # fmt: skip
        self.valid, self.ready, self.fields = valid, ready, list(fields)
        self.beats, self.gaps = beats, gaps
        self.taken: list[int] = []
        self._pattern = gaps.pattern()
        self._offering = False
        self._next = 0

    @property
    def done(self) -> bool:
        """Whether all beats are taken."""
        return len(self.taken) == len(self.beats)

    def sample(self, cycle: int) -> bool:
        """Note whether the offered beat is taken."""
        if not self._offering:
            return False
        if self.ready is not None and not is_high(self.ready):
            return False
        self.taken.append(cycle)
        return True

    def drive(self) -> None:
        """Signals for the coming cycle."""
        if self._offering and len(self.taken) < self._next:
            return
        offer = self._next < len(self.beats) and next(self._pattern)
        if offer:
            for signal, value in zip(self.fields, self.beats[self._next], strict=True):
                signal.value = value
            self._next += 1
        if offer != self._offering:
            self.valid.value = int(offer)
            self._offering = offer

    def position(self) -> str:
        """How far it has come."""
        return f"{len(self.taken)} of {len(self.beats)} beats taken"


def is_high(signal: Any) -> bool:
    """Value of a control signal, which must have one."""
    try:
        return bool(signal.value)
    except ValueError:
        raise AssertionError(f"{signal._name} is {signal.value}, neither 0 nor 1") from None


def number(signal: Any) -> int:
    """Value of a signal, all of whose bits must have one."""
    try:
        return int(signal.value)
    except ValueError:
        raise AssertionError(f"{signal._name} is {signal.value}, not a number") from None


class Sink:
    """Takes beats and checks the contract: an offered beat stays, unchanged, until taken.

    ``ready`` may be None: the stream can not be held up. After the run ``times`` has the cycle
    of each beat; ``rows`` has its fields as text, most significant bit first.
    """

    def __init__(
        self, valid: Any, ready: Any, fields: Sequence[Any], count: int, gaps: Gaps = ALWAYS,
        name: str = "stream",
    ) -> None:  # fmt: skip
        self.valid, self.ready, self.fields, self.count = valid, ready, list(fields), count
        self.gaps, self.name = gaps, name
        self.times: list[int] = []
        self.rows: list[list[str]] = [[] for _ in self.fields]
        self._pattern = gaps.pattern()
        self._ready = ready is None
        self._held: list[str] | None = None

    @property
    def done(self) -> bool:
        """Whether all expected beats have come."""
        return len(self.times) >= self.count

    def sample(self, cycle: int) -> bool:
        """Take the beat if both sides are willing."""
        if not is_high(self.valid):
            assert self._held is None, f"cycle {cycle}: {self.name}: valid was withdrawn"
            return False
        beat = [str(signal.value) for signal in self.fields]
        if self._held is not None:
            assert beat == self._held, (
                f"cycle {cycle}: {self.name}: the beat changed from {self._held} to {beat} "
                "before it was taken"
            )
        if not self._ready:
            self._held = beat
            return False
        self._held = None
        self.times.append(cycle)
        for rows, text in zip(self.rows, beat, strict=True):
            rows.append(text)
        return True

    def drive(self) -> None:
        """Signals for the coming cycle."""
        if self.ready is None:
            return
        willing = next(self._pattern)
        if willing != self._ready:
            self.ready.value = int(willing)
            self._ready = willing

    def position(self) -> str:
        """How far it has come."""
        return f"{len(self.times)} of {self.count} beats came"


class Tap:
    """Records the beats of a stream inside the design: ``beat`` is high as one passes."""

    def __init__(self, beat: Any, data: Any) -> None:
        self.beat, self.data = beat, data
        self.rows: list[str] = []

    def sample(self, cycle: int) -> bool:
        """Keep the beat's text."""
        if is_high(self.beat):
            self.rows.append(str(self.data.value))
        return False


def internal(dut: Any, prefix: str) -> tuple[Any, Any, list[Any]]:
    """valid, ready and the field of a stream of Amaranth's: prefix__valid and so on."""
    valid, ready, payload = (
        getattr(dut, f"{prefix}__{name}") for name in ("valid", "ready", "payload")
    )
    return valid, ready, [payload]


def axis(dut: Any, prefix: str, fields: Sequence[str]) -> tuple[Any, Any, list[Any]]:
    """valid, ready and some fields of an AXI4-Stream: prefix_tvalid and so on."""
    signals = [getattr(dut, f"{prefix}_{name}") for name in fields]
    return getattr(dut, f"{prefix}_tvalid"), getattr(dut, f"{prefix}_tready"), signals


async def reset(clk: Any, rst: Any, idle: Sequence[Any] = ()) -> None:
    """Start the clock, set ``idle`` inputs to 0 and hold reset; the first cycle after it is next.

    What a bench drives right after this is what the design sees in its first cycle.
    """
    rst.value = 1
    for signal in idle:
        signal.value = 0
    Clock(clk, PERIOD_NS, unit="ns").start()
    for _ in range(RESET_CYCLES):
        await RisingEdge(clk)
    rst.value = 0


async def stream(
    clk: Any,
    sources: Sequence[Source],
    sinks: Sequence[Sink],
    quiet_limit: int,
    watchers: Sequence[Watcher] = (),
    tail: int = 0,
) -> int:
    """Run until all beats are taken and have come; returns the number of cycles.

    Cycles count from 0, the first edge after the call. ``tail`` more cycles then check that
    nothing else comes. Raises AssertionError after ``quiet_limit`` cycles without a beat.
    """
    ends = [*sources, *sinks]
    looking: list[Watcher] = [*ends, *watchers]
    edge = RisingEdge(clk)
    cycle, quiet, left = 0, 0, tail
    while True:
        for end in ends:
            end.drive()
        await edge
        moved = False
        for watcher in looking:
            moved |= watcher.sample(cycle)
        cycle += 1
        quiet = 0 if moved else quiet + 1
        if all(end.done for end in ends):
            if not left:
                break
            left -= 1
        elif quiet > quiet_limit:
            where = "; ".join(end.position() for end in ends)
            raise AssertionError(f"no beat for {quiet} cycles, the design hangs: {where}")
    for source in sources:
        # The last beat may have been taken in the last cycle.
        source.valid.value = 0
    for sink in sinks:
        assert len(sink.times) == sink.count, f"{sink.name}: {sink.position()}"
        if sink.ready is not None:
            sink.ready.value = 0
    return cycle


def text_bits(rows: Sequence[str], width: int) -> tuple[BitArray, np.ndarray[Any, Any]]:
    """Texts of values as bits (values, width), least significant first, and which are 0 or 1."""
    raw = np.frombuffer("".join(rows).encode("ascii"), np.uint8).reshape(len(rows), width)
    raw = raw[:, ::-1]
    return (raw == ord("1")).astype(np.uint8), (raw == ord("0")) | (raw == ord("1"))


def text_bytes(rows: Sequence[str], width: int) -> tuple[BitArray, BitArray]:
    """Texts of values as bytes, least significant first, and masks of their undefined bits."""
    bits, known = text_bits(rows, width)
    pack = lambda array: np.packbits(array, axis=1, bitorder="little")  # noqa: E731
    return pack(bits), pack(~known)


def check_equal(
    rows: Sequence[str], want: Sequence[int], width: int, masks: Sequence[int] | None = None
) -> None:
    """Every bit (where its mask is 1) is the wanted one; an undefined bit is a difference."""
    expected = [f"{value:0{width}b}" for value in want]
    if list(rows) == expected:
        return
    assert len(rows) == len(expected), f"{len(rows)} beats, {len(expected)} expected"
    got_chars, want_chars = (
        np.frombuffer("".join(texts).encode("ascii"), np.uint8).reshape(len(texts), width)
        for texts in (list(rows), expected)
    )
    wrong = got_chars != want_chars
    if masks is not None:
        kept = "".join(f"{mask:0{width}b}" for mask in masks)
        wrong &= (np.frombuffer(kept.encode("ascii"), np.uint8) == ord("1")).reshape(wrong.shape)
    bad = np.flatnonzero(wrong.any(axis=1))
    if bad.size:
        shown = "\n".join(f"  beat {n}: got {rows[n]}, expected {expected[n]}" for n in bad[:5])
        raise AssertionError(f"{bad.size} of {len(rows)} beats differ:\n{shown}")


ANSWER_LIMIT = 1000
"""Cycles that an AXI4-Lite slave may take for a handshake."""


class AxiLite:
    """AXI4-Lite master of one transaction at a time, for ports ``prefix``_awaddr and so on that
    have the clock ``clk``.

    ``gaps`` decide how long it waits before each of its handshakes.
    """

    INPUTS = ("awaddr", "awvalid", "wdata", "wstrb", "wvalid", "bready", "araddr", "arvalid",
              "rready")  # fmt: skip
    OUTPUTS = ("awready", "wready", "bresp", "bvalid", "arready", "rdata", "rresp", "rvalid")

    def __init__(self, dut: Any, clk: Any, prefix: str = "s_axi", gaps: Gaps = ALWAYS) -> None:
        self.clk = clk
        self.signals = {
            name: getattr(dut, f"{prefix}_{name}") for name in (*self.INPUTS, *self.OUTPUTS)
        }
        self._pattern = gaps.pattern()

    @property
    def idle(self) -> list[Any]:
        """Inputs, for ``reset``."""
        return [self.signals[name] for name in self.INPUTS]

    async def _pause(self) -> None:
        while not next(self._pattern):
            await RisingEdge(self.clk)

    async def _send(self, valid: str, ready: str, **payload: int) -> None:
        """One handshake on a channel towards the slave."""
        await self._pause()
        for name, value in payload.items():
            self.signals[name].value = value
        self.signals[valid].value = 1
        for _ in range(ANSWER_LIMIT):
            await RisingEdge(self.clk)
            if is_high(self.signals[ready]):
                break
        else:
            raise self._silent(ready)
        self.signals[valid].value = 0

    async def _receive(self, valid: str, ready: str, field: str) -> int:
        """One handshake on a channel from the slave; an answer must wait unchanged."""
        held = None
        pause = 0
        while not next(self._pattern):
            pause += 1
        for _ in range(ANSWER_LIMIT + pause):
            await RisingEdge(self.clk)
            if not is_high(self.signals[valid]):
                assert held is None, f"{valid} was withdrawn"
                continue
            value = str(self.signals[field].value)
            assert held is None or held == value, f"{field} changed from {held} to {value}"
            held = value
            if is_high(self.signals[ready]):
                self.signals[ready].value = 0
                assert set(value) <= {"0", "1"}, f"{field} is {value}, not a number"
                return int(value, 2)
            if pause:
                pause -= 1
            else:
                self.signals[ready].value = 1
        raise self._silent(valid)

    def _silent(self, name: str) -> AssertionError:
        return AssertionError(f"no {name} for {ANSWER_LIMIT} cycles, the registers hang")

    async def read(self, address: int) -> int:
        """The word at an address."""
        await self._send("arvalid", "arready", araddr=address)
        value = await self._receive("rvalid", "rready", "rdata")
        return value

    async def write(self, address: int, word: int, strobes: int = 0xF) -> None:
        """Write a word; address and data are offered together and taken together or apart."""
        from cocotb import start_soon

        data = start_soon(self._send("wvalid", "wready", wdata=word, wstrb=strobes))
        await self._send("awvalid", "awready", awaddr=address)
        await data
        await self._receive("bvalid", "bready", "bresp")
