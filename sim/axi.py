"""External memory behind AXI4, which judges its master, for cocotb benches.

It answers as hwgen.flow.memory.Memory says, in the same cycles as the memory of a package's own
bench in C++, with which it shares no code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.flow.memory import Memory

from .streams import is_high, number

ByteArray = np.ndarray[Any, np.dtype[np.uint8]]

PAGE = 4096
"""Bytes of a page, which no burst crosses (AMBA AXI, A3.4.1)."""
INCR, OKAY, SLVERR = 1, 0, 2
CHANNELS = ("ar", "r", "aw", "w", "b")
ADDRESS = ("addr", "len", "size", "burst")
DATA = ("data", "strb", "last")
_WORD = (1 << 64) - 1


def willing(seed: int | None, run: int, cycle: int) -> int:
    """Which channels do not pause in a cycle of a run: a bit for each of CHANNELS.

    Nothing but the arguments decides, so that two models of a memory pause alike. The mixing is
    splitmix64's (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    """
    if seed is None:
        return (1 << len(CHANNELS)) - 1
    return _mixed(_mixed(_mixed(seed) + run) + cycle) >> 59


def _mixed(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & _WORD
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _WORD
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _WORD
    return value ^ value >> 31


@dataclass
class Burst:
    """A burst: the byte of its next beat, the beats still to come, the cycle from which on they
    may; of an answer ``response``."""

    place: int
    left: int
    ready: int
    response: int = OKAY


class AxiMemory:
    """Bytes behind the AXI4 ports ``prefix``araddr and so on of a design, which may have the
    channels of reads, of writes, or both. Call ``drive``, let a clock edge pass, call ``sample``.

    Parameters
    ----------
    data : the bytes, of which the first is at address ``base``. lowest : offset below which nothing
    may be written. memory : how it answers. read_faults, write_faults : beats, counted from 1, that
    are answered with an error.

    Raises AssertionError where the master breaks the rules of AXI4: an offer that changes or is
    withdrawn before it is taken, a burst that is not INCR of whole beats, crosses a page or leaves
    the memory, a WLAST at the wrong beat, a byte written below ``lowest``, an undefined bit.

    What is seen: ``read_bursts``, ``write_bursts`` as (cycle, byte, beats); ``read_times``,
    ``write_times`` the cycles of beats; ``write_beats`` as (byte, strobes); ``written`` which bytes
    were written.
    """

    def __init__(
        self, dut: Any, prefix: str, data: ByteArray, base: int, lowest: int = 0,
        memory: Memory | None = None,
    ) -> None:  # fmt: skip
        self.data, self.base, self.lowest, self.memory = data, base, lowest, memory or Memory()
        self.read_faults: set[int] = set()
        self.write_faults: set[int] = set()
        self._signals = dict(_ports(dut, prefix))
        bus = self._signals.get("rdata", self._signals.get("wdata"))
        self.bus = len(bus) // 8
        self._run = -1
        self._read_credit = self._write_credit = 1.0
        self._driven: dict[str, int] = {}
        self.begin()

    @property
    def idle(self) -> list[Any]:
        """Inputs of the design, for ``reset``."""
        return [self._signals[name] for name in _INPUTS if name in self._signals]

    def begin(self) -> None:
        """A run begins, or the design was reset: nothing is under way."""
        self._run += 1
        self._reads: deque[Burst] = deque()
        self._writes: deque[Burst] = deque()
        self._answers: deque[Burst] = deque()
        self._offered = self._answered = False
        self._response = OKAY
        self._held: dict[str, tuple[str, ...]] = {}
        self.read_bursts: list[tuple[int, int, int]] = []
        self.write_bursts: list[tuple[int, int, int]] = []
        self.read_times: list[int] = []
        self.write_times: list[int] = []
        self.write_beats: list[tuple[int, int]] = []
        self.written = np.zeros(len(self.data), bool)

    @property
    def quiet(self) -> bool:
        """Nothing is under way."""
        return not (self._reads or self._writes or self._answers)

    def drive(self, now: int, cycle: int) -> None:
        """What it offers and takes in the coming cycle, which is ``cycle`` of the run."""
        may = dict.fromkeys(CHANNELS, False)
        bits = willing(self.memory.gaps, self._run, cycle)
        for n, channel in enumerate(CHANNELS):
            may[channel] = bool(bits >> n & 1)
        most = 1.0 + self.memory.rate
        self._read_credit = min(self._read_credit + self.memory.rate, most)
        self._write_credit = min(self._write_credit + self.memory.rate, most)
        if "arvalid" in self._signals:
            self._drive_reads(now, may)
        if "awvalid" in self._signals:
            self._drive_writes(now, may)

    def _drive_reads(self, now: int, may: dict[str, bool]) -> None:
        self._set("arready", may["ar"])
        # What is offered stays until it is taken.
        if not self._offered and self._reads and now >= self._reads[0].ready:
            self._offered = self._read_credit >= 1.0 and may["r"]
        self._set("rvalid", self._offered)
        if self._offered:
            first = self._reads[0]
            word = self.data[first.place : first.place + self.bus]
            self._set("rdata", int.from_bytes(word.tobytes(), "little"))
            self._set("rlast", first.left == 1)
            self._set("rresp", SLVERR if len(self.read_times) + 1 in self.read_faults else OKAY)

    def _drive_writes(self, now: int, may: dict[str, bool]) -> None:
        self._set("awready", may["aw"])
        self._set("wready", self._write_credit >= 1.0 and bool(self._writes) and may["w"])
        if not self._answered and self._answers and now >= self._answers[0].ready:
            self._answered = may["b"]
        self._set("bvalid", self._answered)
        if self._answered:
            self._set("bresp", self._answers[0].response)

    def _set(self, name: str, value: int) -> None:
        """Drive an input of the design, where it is not so already."""
        if self._driven.get(name) != value:
            self._driven[name] = value
            self._signals[name].value = int(value)

    def sample(self, now: int) -> bool:
        """What passed with the edge. Whether anything did."""
        moved = False
        if "arvalid" in self._signals:
            if self._passes("ar", ADDRESS):
                burst = self._burst("ar", now)
                self.read_bursts.append((now, burst.place, burst.left))
                self._reads.append(burst)
                moved = True
            if self._offered and is_high(self._signals["rready"]):
                self._take_read(now)
                moved = True
        if "awvalid" in self._signals:
            if self._passes("aw", ADDRESS):
                burst = self._burst("aw", now)
                self.write_bursts.append((now, burst.place, burst.left))
                self._writes.append(burst)
                moved = True
            if self._passes("w", DATA):
                self._take_write(now)
                moved = True
            if self._answered and is_high(self._signals["bready"]):
                self._answers.popleft()
                self._answered = False
                moved = True
        return moved

    def _passes(self, channel: str, fields: tuple[str, ...]) -> bool:
        """Whether the master's offer on a channel is taken; what is not must stay as it is."""
        held = self._held.pop(channel, None)
        if not is_high(self._signals[f"{channel}valid"]):
            assert held is None, f"{channel}valid was withdrawn"
            return False
        if self._driven.get(f"{channel}ready") and held is None:
            return True
        offer = tuple(str(self._signals[channel + name].value) for name in fields)
        assert held is None or offer == held, (
            f"what {channel} offers changed from {held} to {offer} before it was taken"
        )
        if self._driven.get(f"{channel}ready"):
            return True
        self._held[channel] = offer
        return False

    def _burst(self, channel: str, now: int) -> Burst:
        """A burst that keeps the rules."""
        address, length, size, kind = (number(self._signals[channel + name]) for name in ADDRESS)
        beats = length + 1
        end = address + beats * self.bus
        where = f"the burst of {beats} beats at {address:#x}"
        assert kind == INCR and 1 << size == self.bus, f"{where} is not INCR of whole beats"
        assert address % self.bus == 0, f"{where} begins within a beat"
        assert address // PAGE == (end - 1) // PAGE, f"{where} crosses 4 KiB"
        assert self.base <= address and end <= self.base + len(self.data), (
            f"{where} leaves the memory"
        )
        return Burst(address - self.base, beats, now + self.memory.latency)

    def _take_read(self, now: int) -> None:
        first = self._reads[0]
        self.read_times.append(now)
        first.place += self.bus
        first.left -= 1
        self._read_credit -= 1.0
        self._offered = False
        if not first.left:
            self._reads.popleft()

    def _take_write(self, now: int) -> None:
        first = self._writes[0]
        strobes, text = number(self._signals["wstrb"]), str(self._signals["wdata"].value)
        for lane in range(self.bus):
            if not strobes >> lane & 1:
                continue
            place, end = first.place + lane, len(text) - 8 * lane
            bits = text[end - 8 : end]
            assert place >= self.lowest, f"byte {place} is written, below {self.lowest}"
            assert set(bits) <= {"0", "1"}, f"byte {place} is written as {bits}"
            self.data[place] = int(bits, 2)
            self.written[place] = True
        self.write_beats.append((first.place, strobes))
        self.write_times.append(now)
        if len(self.write_times) in self.write_faults:
            self._response = SLVERR
        first.place += self.bus
        first.left -= 1
        self._write_credit -= 1.0
        assert is_high(self._signals["wlast"]) == (first.left == 0), (
            f"WLAST is wrong with {first.left} beats of the burst to come"
        )
        if not first.left:
            self._writes.popleft()
            self._answers.append(Burst(0, 0, now + self.memory.latency, self._response))
            self._response = OKAY


_READ = ("arready", "rdata", "rresp", "rlast", "rvalid")
_WRITE = ("awready", "wready", "bresp", "bvalid")
_INPUTS = (*_READ, *_WRITE)
_OUTPUTS = {
    "ar": (*(f"ar{name}" for name in ADDRESS), "arvalid", "rready", *_READ),
    "aw": (
        *(f"aw{name}" for name in ADDRESS), "awvalid", *(f"w{name}" for name in DATA), "wvalid",
        "bready", *_WRITE,
    ),
}  # fmt: skip


def _ports(dut: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """The signals of the channels that a design has, by name."""
    for first, names in _OUTPUTS.items():
        if hasattr(dut, f"{prefix}{first}valid"):
            for name in names:
                yield name, getattr(dut, f"{prefix}{name}")
