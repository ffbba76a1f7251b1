"""External memory behind AXI4: a slave that checks the rules of its master."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .pysim import pattern

READ = ("araddr", "arlen", "arsize", "arburst", "arvalid", "rready")
WRITE = (
    "awaddr", "awlen", "awsize", "awburst", "awvalid", "wdata", "wstrb", "wlast", "wvalid", "bready"
)  # fmt: skip
PAGE = 4096


@dataclass
class Burst:
    """One burst: its beats still to come, the cycle from which on they may."""

    number: int
    address: int
    beats: int
    due: int
    done: int = 0


@dataclass
class AxiMemory:
    """Bytes behind the AXI4 ports of a component; steps in the background of a test.

    data : the bytes, of which the first is at address ``base``. latency : cycles from an address
    to the first beat, and from the last beat to the answer. rates : whether each channel (ar, r,
    aw, w, b) is willing, cycle by cycle. read_faults : beats, as (burst, beat), that are answered
    with an error; write_faults : bursts. lowest : offset below which nothing may be written.
    """

    component: Any
    data: bytearray
    bus: int
    base: int = 0
    latency: int = 8
    max_beats: int = 64
    lowest: int = 0
    rates: dict[str, Iterator[bool]] = field(default_factory=dict)
    read_faults: set[tuple[int, int]] = field(default_factory=set)
    write_faults: set[int] = field(default_factory=set)
    prefix: str = ""

    cycle: int = 0
    reads: list[Burst] = field(default_factory=list)
    writes: list[Burst] = field(default_factory=list)
    times: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.has_read = hasattr(self.component, self.prefix + "araddr")
        self.has_write = hasattr(self.component, self.prefix + "awaddr")
        for channel in ("ar", "r", "aw", "w", "b"):
            self.rates.setdefault(channel, pattern("always", 0))
            self.times.setdefault(channel, [])
        self.forget()

    def forget(self) -> None:
        """As after a reset: nothing is under way."""
        self._reading: deque[Burst] = deque()
        self._writing: deque[Burst] = deque()
        self._beats: deque[tuple[int, int, bool]] = deque()
        self._answers: deque[Burst] = deque()
        self._offered = {"r": False, "b": False}
        self._held: dict[str, tuple[int, ...]] = {}

    def _signal(self, name: str) -> Any:
        return getattr(self.component, self.prefix + name)

    async def process(self, ctx: Any) -> None:
        """Steps for as long as the test runs."""
        names = (READ if self.has_read else ()) + (WRITE if self.has_write else ())
        signals = [self._signal(name) for name in names]
        while True:
            willing = {c: next(rate) for c, rate in self.rates.items()}
            if self.has_read:
                self._drive_read(ctx, willing)
            if self.has_write:
                self._drive_write(ctx, willing)
            _, reset, *values = await ctx.tick().sample(*signals)
            seen = dict(zip(names, values, strict=True))
            if reset:
                self.forget()
            else:
                if self.has_read:
                    self._take_read(seen, willing)
                if self.has_write:
                    self._take_write(seen, willing)
            self.cycle += 1

    def _drive_read(self, ctx: Any, willing: dict[str, bool]) -> None:
        ctx.set(self._signal("arready"), willing["ar"])
        burst = self._reading[0] if self._reading else None
        offers = burst is not None and burst.due <= self.cycle
        self._offered["r"] = offers and (self._offered["r"] or willing["r"])
        ctx.set(self._signal("rvalid"), self._offered["r"])
        if burst is not None and self._offered["r"]:
            place = burst.address - self.base + burst.done * self.bus
            word = self.data[place : place + self.bus]
            fault = (burst.number, burst.done) in self.read_faults
            ctx.set(self._signal("rdata"), int.from_bytes(word, "little"))
            ctx.set(self._signal("rresp"), 2 if fault else 0)
            ctx.set(self._signal("rlast"), burst.done == burst.beats - 1)

    def _drive_write(self, ctx: Any, willing: dict[str, bool]) -> None:
        ctx.set(self._signal("awready"), willing["aw"])
        ctx.set(self._signal("wready"), willing["w"])
        answer = self._answers[0] if self._answers else None
        offers = answer is not None and answer.due <= self.cycle
        self._offered["b"] = offers and (self._offered["b"] or willing["b"])
        ctx.set(self._signal("bvalid"), self._offered["b"])
        if answer is not None:
            ctx.set(self._signal("bresp"), 2 if answer.number in self.write_faults else 0)

    def _take_read(self, seen: dict[str, int], willing: dict[str, bool]) -> None:
        self._stable(seen, "ar", ("araddr", "arlen", "arsize", "arburst"), willing["ar"])
        if self._offered["r"] and seen["rready"]:
            burst = self._reading[0]
            burst.done += 1
            self._offered["r"] = False
            self.times["r"].append(self.cycle)
            if burst.done == burst.beats:
                self._reading.popleft()
        if seen["arvalid"] and willing["ar"]:
            burst = self._burst(seen, "ar", len(self.reads))
            self.reads.append(burst)
            self._reading.append(burst)

    def _take_write(self, seen: dict[str, int], willing: dict[str, bool]) -> None:
        self._stable(seen, "aw", ("awaddr", "awlen", "awsize", "awburst"), willing["aw"])
        self._stable(seen, "w", ("wdata", "wstrb", "wlast"), willing["w"])
        if self._offered["b"] and seen["bready"]:
            self._answers.popleft()
            self._offered["b"] = False
            self.times["b"].append(self.cycle)
        if seen["awvalid"] and willing["aw"]:
            burst = self._burst(seen, "aw", len(self.writes))
            assert burst.address - self.base >= self.lowest, "a write below what may be written"
            self.writes.append(burst)
            self._writing.append(burst)
        if seen["wvalid"] and willing["w"]:
            self._beats.append((seen["wdata"], seen["wstrb"], bool(seen["wlast"])))
            self.times["w"].append(self.cycle)
        while self._writing and self._beats:
            self._write_beat(*self._beats.popleft())

    def _write_beat(self, word: int, strobe: int, last: bool) -> None:
        burst = self._writing[0]
        place = burst.address - self.base + burst.done * self.bus
        for lane in range(self.bus):
            if strobe >> lane & 1:
                self.data[place + lane] = word >> (8 * lane) & 0xFF
        burst.done += 1
        assert last == (burst.done == burst.beats), "WLAST"
        if last:
            burst.due = self.cycle + self.latency
            self._answers.append(self._writing.popleft())

    def _burst(self, seen: dict[str, int], channel: str, number: int) -> Burst:
        """A burst that keeps the rules."""
        address, beats = seen[channel + "addr"], seen[channel + "len"] + 1
        assert seen[channel + "burst"] == 1 and 1 << seen[channel + "size"] == self.bus
        assert address % self.bus == 0 and beats <= self.max_beats
        end = address + beats * self.bus
        assert address // PAGE == (end - 1) // PAGE, "a burst crosses a page"
        assert self.base <= address and end <= self.base + len(self.data), "outside"
        self.times[channel].append(self.cycle)
        return Burst(number, address, beats, self.cycle + self.latency)

    def _stable(
        self, seen: dict[str, int], channel: str, payload: tuple[str, ...], ready: bool
    ) -> None:
        """What was offered and not taken stays."""
        valid, now = seen[channel + "valid"], tuple(seen[name] for name in payload)
        held = self._held.pop(channel, None)
        if held is not None:
            assert valid and now == held, f"{channel} changed before it was taken"
        if valid and not ready:
            self._held[channel] = now

    @property
    def quiet(self) -> bool:
        """Nothing is under way."""
        return not (self._reading or self._writing or self._beats or self._answers)
