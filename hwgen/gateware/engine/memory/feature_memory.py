"""The feature-map memory: banks that take and give a word at any byte address, and their users.

A bank is two memories of half its words each: the even words and the odd ones. A word at any byte
address is then in two words that are in different memories, and is brought together, or taken
apart, by choosing a memory for each byte and rotating the bytes.
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import BANKS, EngineShape
from ...common.counter import delay_line, from_on, index_shape, reg
from ...common.memory import SimpleDualPort
from .feature_ports import READ_LATENCY, VISIBLE, read_port, write_port


def checked_bank(word: int, size: int) -> None:
    """Raise ValueError unless a bank of ``size`` bytes can have words of ``word`` bytes."""
    for name, value in (("word", word), ("size", size)):
        if value < 2 or value & (value - 1):
            raise ValueError(f"{name} must be a power of two from 2 on, got {value}")
    if size < 4 * word:
        raise ValueError(f"{size} bytes are less than four words of {word} bytes")


class _WordPlace:
    """Where a word at a byte address is. A plain helper, not a component.

    even, odd : the addresses of the two memories. odd_bytes : bytes, in the order in which they
    are stored, that are in the odd memory. shift : how far the bytes are rotated.
    """

    def __init__(self, addr: Value, word: int) -> None:
        bits = (word - 1).bit_length()
        line = addr[bits:]
        self.shift = addr[:bits]
        self.odd = line[1:]
        self.even = (line[1:] + line[0])[: len(line) - 1]
        # Bytes below the first one belong to the word after it, which is in the other memory.
        self.odd_bytes = Cat(line[0] == here for here in from_on(self.shift, word))


def _rotated(m: Module, value: Value, by: Value, unit: int, right: bool, name: str) -> Value:
    """``value`` rotated by a number of units, a power of two more with each bit of ``by``."""
    for n in range(len(by)):
        bits = unit << n if right else -(unit << n)
        turned = Signal(len(value), name=f"{name}_{n}")
        m.d.comb += turned.eq(Mux(by[n], value.rotate_right(bits), value))
        value = turned
    return value


def _placed(word: int, size: int) -> data.StructLayout:
    """A write as the two memories of a bank take it."""
    return data.StructLayout(
        {
            "even_addr": index_shape(size // word // 2),
            "even_mask": unsigned(word),
            "odd_addr": index_shape(size // word // 2),
            "odd_mask": unsigned(word),
            "data": unsigned(8 * word),
        }
    )


class Placer(wiring.Component):
    """Brings the bytes of a write to where a Bank has them.

    Parameters
    ----------
    word, size : of the bank.

    Members
    -------
    en, addr, data, mask (in): bytes of a word at a byte address, those whose bit of the mask is
    1. o (out): what a Bank takes.

    Latency 1 cycle, initiation interval 1.
    """

    LATENCY = 1

    def __init__(self, word: int, size: int) -> None:
        checked_bank(word, size)
        self.word, self.size = word, size
        super().__init__(
            {
                "en": In(1),
                "addr": In(index_shape(size)),
                "data": In(8 * word),
                "mask": In(word),
                "o": Out(_placed(word, size)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        place = _WordPlace(self.addr, self.word)
        turned = _rotated(m, self.data, place.shift, 8, False, "turned")
        mask = _rotated(m, self.mask, place.shift, 1, False, "turned_mask")
        odd = Signal(self.word, name="odd_bytes")
        m.d.comb += odd.eq(place.odd_bytes)
        even_mask = Signal(self.word, name="even_mask")
        odd_mask = Signal(self.word, name="odd_mask")
        kept = {
            "even_addr": (reg(self.o.even_addr.shape(), "even_addr"), place.even),
            "odd_addr": (reg(self.o.odd_addr.shape(), "odd_addr"), place.odd),
            "data": (reg(8 * self.word, "placed_data"), turned),
            "even_mask": (even_mask, Mux(self.en, mask & ~odd, 0)),
            "odd_mask": (odd_mask, Mux(self.en, mask & odd, 0)),
        }
        for name, (register, value) in kept.items():
            m.d.sync += register.eq(value)
            m.d.comb += self.o[name].eq(register)
        return m


class Bank(wiring.Component):
    """A memory that reads and writes a word at any byte address, both in every cycle.

    Parameters
    ----------
    word : bytes of a word; size : bytes, at least four words; both powers of two.

    Members
    -------
    r_en, r_addr (in), r_data (out): the word that begins at a byte address, its first byte at the
    least significant end. w (in): a write that went through a Placer.

    Addresses wrap at ``size``. Data follows the address by ``LATENCY`` cycles: memory, output
    register, rotated; initiation interval 1. A read sees what the Placer got at least ``VISIBLE``
    cycles before it; bytes written in the cycle before it are undefined.
    """

    LATENCY = 3
    VISIBLE = Placer.LATENCY + 1

    def __init__(self, word: int, size: int) -> None:
        checked_bank(word, size)
        self.word, self.size = word, size
        super().__init__(
            {
                "r_en": In(1),
                "r_addr": In(index_shape(size)),
                "r_data": Out(8 * word),
                "w": In(_placed(word, size)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        place = _WordPlace(self.r_addr, self.word)
        words = {}
        for name, addr in (("even", place.even), ("odd", place.odd)):
            half = SimpleDualPort(8 * self.word, self.size // self.word // 2, part=8)
            m.submodules[name] = half
            m.d.comb += [
                half.r_en.eq(self.r_en),
                half.r_addr.eq(addr),
                half.w_en.eq(self.w[f"{name}_mask"]),
                half.w_addr.eq(self.w[f"{name}_addr"]),
                half.w_data.eq(self.w.data),
            ]
            # Block RAM has this register.
            words[name] = delay_line(m, half.r_data, 1, f"{name}_word", data=True)
        odd = delay_line(m, place.odd_bytes, self.LATENCY - 1, "odd_bytes", data=True)
        shift = delay_line(m, place.shift, self.LATENCY - 1, "shift", data=True)
        stored = Signal(8 * self.word, name="stored")
        m.d.comb += stored.eq(
            Cat(
                Mux(odd[n], words["odd"].word_select(n, 8), words["even"].word_select(n, 8))
                for n in range(self.word)
            )
        )
        result = reg(8 * self.word, "result")
        m.d.sync += result.eq(_rotated(m, stored, shift, 8, True, "turned"))
        m.d.comb += self.r_data.eq(result)
        return m


class FeatureMemory(wiring.Component):
    """The banks, and who may use them.

    Parameters
    ----------
    shape : of the engine.

    Members
    -------
    taps_en (in, a bit for each bank), taps_addr (in, one for each), taps_data (out, one for
    each): the array's reads, which never wait.
    second, store : read clients, see read_port. result : a write client that never waits. load :
    one that does, see write_port.

    A bank takes one read and one write a cycle: of the reads, that of taps before that of second
    before that of store; of the writes, that of result before that of load. Data follows a read
    by ``LATENCY`` cycles; a read sees what was written ``VISIBLE`` cycles before it or earlier;
    bytes that are written in the cycle before it are undefined.
    """

    LATENCY = READ_LATENCY
    VISIBLE = VISIBLE

    def __init__(self, shape: EngineShape) -> None:
        if (Bank.LATENCY, Bank.VISIBLE) != (READ_LATENCY, VISIBLE):
            raise AssertionError("clients count on other latencies than a bank has")
        self.shape = shape
        super().__init__(
            {
                "taps_en": In(BANKS),
                "taps_addr": In(data.ArrayLayout(index_shape(shape.bank_bytes), BANKS)),
                "taps_data": Out(data.ArrayLayout(8 * shape.word, BANKS)),
                "second": In(read_port(shape)),
                "store": In(read_port(shape)),
                "result": In(write_port(shape, stalls=False)),
                "load": In(write_port(shape, stalls=True)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        banks = [Bank(self.shape.word, self.shape.bank_bytes) for _ in range(BANKS)]
        for n, bank in enumerate(banks):
            m.submodules[f"bank{n}"] = bank
        self._reads(m, banks)
        self._writes(m, banks)
        return m

    def _reads(self, m: Module, banks: list[Bank]) -> None:
        second, store = self.second, self.store
        taps = Array(self.taps_en)
        meets = second.en & (second.bank == store.bank)
        m.d.comb += [
            second.ready.eq(~taps[second.bank]),
            store.ready.eq(~taps[store.bank] & ~meets),
        ]
        for n, bank in enumerate(banks):
            at_second = Signal(name=f"second{n}")
            at_store = Signal(name=f"store{n}")
            m.d.comb += [
                at_second.eq(second.en & (second.bank == n)),
                at_store.eq(store.en & (store.bank == n)),
                bank.r_en.eq(self.taps_en[n] | at_second | at_store),
                bank.r_addr.eq(
                    Mux(
                        self.taps_en[n],
                        self.taps_addr[n],
                        Mux(at_second, second.addr, store.addr),
                    )
                ),
                self.taps_data[n].eq(bank.r_data),
            ]
        words = Array(bank.r_data for bank in banks)
        for name, client in (("second", second), ("store", store)):
            came = delay_line(m, client.bank, self.LATENCY, f"{name}_bank", data=True)
            m.d.comb += client.data.eq(words[came])

    def _writes(self, m: Module, banks: list[Bank]) -> None:
        result, load = self.result, self.load
        m.d.comb += load.ready.eq(~(result.en & (result.bank == load.bank)))
        placed, here = {}, {}
        for name, client in (("result", result), ("load", load)):
            placer = Placer(self.shape.word, self.shape.bank_bytes)
            m.submodules[f"{name}_placer"] = placer
            taken = client.en if client is result else client.en & load.ready
            m.d.comb += [
                placer.en.eq(taken),
                placer.addr.eq(client.addr),
                placer.data.eq(client.data),
                placer.mask.eq(client.mask),
            ]
            placed[name] = placer.o
            here[name] = reg(BANKS, f"{name}_here")
            m.d.sync += here[name].eq(
                Cat(client.bank == n for n in range(BANKS)) & taken.replicate(BANKS)
            )
        for n, bank in enumerate(banks):
            first, rest = here["result"][n], here["load"][n]
            for field in ("even_addr", "odd_addr", "data"):
                m.d.comb += bank.w[field].eq(
                    Mux(first, placed["result"][field], placed["load"][field])
                )
            for field in ("even_mask", "odd_mask"):
                m.d.comb += bank.w[field].eq(
                    Mux(first, placed["result"][field], Mux(rest, placed["load"][field], 0))
                )
