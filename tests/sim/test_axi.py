"""The external memory of cocotb benches: what it answers, and that it refuses broken bursts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.flow.memory import Memory

axi = pytest.importorskip("hwgen_sim.axi", reason="hwgen_sim is not installed")
LogicArray = pytest.importorskip("cocotb.types").LogicArray

BASE, BYTES, BUS = 0x1_0000, 8192, 4
WIDTHS = {
    "addr": 32, "len": 8, "size": 3, "burst": 2, "valid": 1, "ready": 1, "data": 32, "strb": 4,
    "last": 1, "resp": 2,
}  # fmt: skip


class Port:
    """Stands for a signal of a simulation."""

    def __init__(self, name: str, bits: int) -> None:
        self._name, self.bits = name, bits
        self.set(0)

    def __len__(self) -> int:
        return self.bits

    @property
    def value(self) -> Any:
        return self._value

    @value.setter
    def value(self, value: int) -> None:
        self.set(value)

    def set(self, value: int | str) -> None:
        text = value if isinstance(value, str) else f"{value:0{self.bits}b}"
        self._value = LogicArray(text)

    def __int__(self) -> int:
        return int(self._value)


class Master:
    """The signals of a master, which a test drives, and the memory behind them."""

    def __init__(self, **how: Any) -> None:
        names = [
            *(f"{c}{n}" for c in ("ar", "aw") for n in ("addr", "len", "size", "burst", "valid",
                                                        "ready")),
            *(f"r{n}" for n in ("data", "resp", "last", "valid", "ready")),
            *(f"w{n}" for n in ("data", "strb", "last", "valid", "ready")),
            *(f"b{n}" for n in ("resp", "valid", "ready")),
        ]  # fmt: skip
        self.ports: dict[str, Port] = {}
        for name in names:
            field = next(f for f in sorted(WIDTHS, key=len, reverse=True) if name.endswith(f))
            self.ports[name] = Port(name, WIDTHS[field])
            setattr(self, f"m_{name}", self.ports[name])
        rng = np.random.default_rng(1)
        data = rng.integers(0, 256, BYTES, np.uint8)
        self.memory = axi.AxiMemory(self, "m_", data, BASE, lowest=1024, memory=Memory(**how))
        self.cycle = 0

    def offer(self, channel: str, **fields: int | str) -> None:
        """Drive a channel of the master, VALID up."""
        for name, value in fields.items():
            self.ports[channel + name].set(value)
        self.ports[f"{channel}valid"].set(1)

    def burst(self, channel: str, address: int, beats: int, **fields: int) -> None:
        usual = {"addr": BASE + address, "len": beats - 1, "size": 2, "burst": 1}
        self.offer(channel, **(usual | fields))

    def step(self) -> None:
        """A cycle; an address is offered until it is taken."""
        self.memory.drive(self.cycle, self.cycle)
        self.memory.sample(self.cycle)
        for channel in ("ar", "aw"):
            if int(self.ports[f"{channel}ready"]):
                self.ports[f"{channel}valid"].set(0)
        self.cycle += 1


def test_reads_come_after_the_latency_and_at_the_rate() -> None:
    master = Master(latency=7, rate=0.5)
    master.burst("ar", 64, 4)
    master.ports["rready"].set(1)
    words = []
    for _ in range(20):
        master.step()
        if int(master.ports["rvalid"]):
            words.append((int(master.ports["rdata"]), int(master.ports["rlast"])))
    times = master.memory.read_times
    assert times[0] == 7
    assert np.diff(times).tolist() == [1, 2, 2]  # one was saved
    data = master.memory.data[64:80].view("<u4").tolist()
    assert words == [(word, int(n == 3)) for n, word in enumerate(data)]
    assert master.memory.quiet and master.memory.read_bursts == [(0, 64, 4)]


def test_bytes_with_a_strobe_are_written_and_answered() -> None:
    master = Master(latency=3)
    master.memory.write_faults = {2}
    before = master.memory.data.copy()
    master.burst("aw", 2048, 2)
    master.ports["bready"].set(1)
    master.step()
    master.offer("w", data=0x44332211, strb=0b1010, last=0)
    master.step()
    master.offer("w", data="x" * 24 + "10101010", strb=0b0001, last=1)
    master.step()
    master.ports["wvalid"].set(0)
    answers = []
    for _ in range(8):
        master.step()
        answers += [int(master.ports["bresp"])] if int(master.ports["bvalid"]) else []
    assert answers == [2]
    before[[2049, 2051, 2052]] = 0x22, 0x44, 0xAA
    assert np.array_equal(master.memory.data, before)
    assert np.flatnonzero(master.memory.written).tolist() == [2049, 2051, 2052]


@pytest.mark.parametrize(
    ("channel", "address", "beats", "fields", "said"),
    [
        ("ar", 4096 - 8, 3, {}, "crosses 4 KiB"),
        ("aw", 4096 - 4, 2, {}, "crosses 4 KiB"),
        ("ar", BYTES, 1, {}, "leaves the memory"),
        ("aw", -4, 1, {}, "leaves the memory"),
        ("ar", 2, 1, {}, "begins within a beat"),
        ("ar", 0, 1, {"burst": 0}, "not INCR"),
        ("aw", 1024, 2, {"size": 1}, "not INCR of whole beats"),
        ("ar", 0, 1, {"addr": "x" * 32}, "not a number"),
        ("ar", 0, 1, {"valid": "x"}, "neither 0 nor 1"),
    ],
)
def test_broken_bursts(
    channel: str, address: int, beats: int, fields: dict[str, Any], said: str
) -> None:
    master = Master()
    valid = fields.pop("valid", 1)
    master.burst(channel, address, beats, **fields)
    master.ports[f"{channel}valid"].set(valid)
    with pytest.raises(AssertionError, match=said):
        master.step()


@pytest.mark.parametrize(
    ("address", "beats", "beat", "said"),
    [
        (1020, 1, {"data": 0, "strb": 8, "last": 1}, "byte 1023 is written, below 1024"),
        (2048, 2, {"data": 0, "strb": 15, "last": 1}, "WLAST is wrong"),
        (2048, 1, {"data": 0, "strb": 15, "last": 0}, "WLAST is wrong"),
        (2048, 1, {"data": "x" * 32, "strb": 1, "last": 1}, "byte 2048 is written as X"),
    ],
)
def test_broken_beats(address: int, beats: int, beat: dict[str, Any], said: str) -> None:
    master = Master()
    master.burst("aw", address, beats)
    master.step()
    master.offer("w", **beat)
    with pytest.raises(AssertionError, match=said):
        master.step()


@pytest.mark.parametrize("withdrawn", [True, False])
@pytest.mark.parametrize("channel", ["ar", "aw", "w"])
def test_an_offer_stays_until_it_is_taken(channel: str, withdrawn: bool) -> None:
    """With a memory that pauses: whatever the seed, some address is not taken at once."""
    master = Master(gaps=1)
    if channel == "w":  # not before its address
        master.offer("w", data=1, strb=15, last=1)
    else:
        while axi.willing(1, 0, master.cycle) >> axi.CHANNELS.index(channel) & 1:
            master.step()
        master.burst(channel, 2048, 1)
    master.step()
    if withdrawn:
        master.ports[f"{channel}valid"].set(0)
    else:
        master.ports["wdata" if channel == "w" else f"{channel}addr"].set(BASE + 512)
    with pytest.raises(AssertionError, match="was withdrawn" if withdrawn else "changed from"):
        master.step()


def test_pauses_follow_from_seed_run_and_cycle() -> None:
    bits = np.array([axi.willing(3, run, cycle) for run in range(4) for cycle in range(500)])
    assert ((bits >= 0) & (bits < 32)).all()
    shares = [(bits >> channel & 1).mean() for channel in range(5)]
    assert all(0.45 < share < 0.55 for share in shares), shares
    runs = bits.reshape(4, 500)
    assert (runs[0] != runs[1]).any()
    assert [axi.willing(4, 0, cycle) for cycle in range(500)] != runs[0].tolist()
    assert [axi.willing(None, 0, cycle) for cycle in range(3)] == [31] * 3
