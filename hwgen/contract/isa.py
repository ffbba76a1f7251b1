"""Descriptors of the tiled engine: what its controller walks, defined once for plan and gateware.

A program is a list of descriptors in external memory, 32 bytes or a multiple of it each. Three
units carry them out, each in the order in which it got them: *load* (external memory to a buffer),
*compute* (one tile of a layer) and *store* (a buffer to external memory). Each unit counts what it
has finished; a descriptor begins when the counters of all three have reached what it waits for.
That is all the synchronization there is: double buffering, loop orders and which tiles stay are the
planner's choices.

An engine may have several tile units, with an array and all buffers each, which carry out tiles at
the same time; a descriptor says which of them it is about. The tiles of one unit follow each other,
and all count as finished in the order of the program, whichever unit has them.

Addresses are bytes. Those in external memory count from the base that the host sets.
docs/engine_isa.md is the specification for people; engine_model interprets programs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

SLOT = 32
"""Bytes that descriptors are made of."""
LEVELS = 6
"""Loops of a tile's work."""
SKIPPING = (3, 4)
"""Loops in whose first steps sums may be finished without giving a result."""
OUTPUT_LEVELS = 3
"""Loops of a tile's results."""
MOST_TILES = 8
"""Tile units of the largest engine, which fields of descriptors can name."""
WINDOW_TAPS = 3
"""Rows and columns that Operand.DEPTHWISE_WINDOW takes."""
COUNTER_BITS = 16
"""Bits of the counters of finished descriptors, which wrap: at most 2**15 may be in flight."""
TABLE_WORDS = 256
"""Words of each of the two tables behind the requantizers."""
SOFTMAX_CHANNELS = 1 << 11
"""Most channels of a softmax."""


class Opcode(IntEnum):
    """What a descriptor asks for."""

    END = 0
    """Nothing follows: when all units are idle, the program is done."""
    LOAD = 1
    STORE = 2
    COMPUTE = 3


class ErrorCode(IntEnum):
    """Why a program ended before its end."""

    NONE = 0
    """It did not."""
    UNKNOWN_OP = 1
    """A descriptor asks for nothing that there is."""
    LOAD = 2
    """A LOAD can not be carried out: no rows or bytes, a ring that is none; parts of words; no
    tile unit that it goes to, or one that there is not."""
    STORE = 3
    """A STORE can not be carried out."""
    COMPUTE = 4
    """A COMPUTE can not be carried out."""
    READ = 5
    """External memory answered a load with an error."""
    WRITE = 6
    """External memory answered a store with an error."""
    FETCH = 7
    """External memory answered the reading of a descriptor with an error."""
    LOAD_OUTSIDE = 8
    """A load reads outside the memory image."""
    STORE_OUTSIDE = 9
    """A store writes outside the memory image, or where nothing may be written."""
    FETCH_OUTSIDE = 10
    """The program goes on outside the memory image or beyond its own end."""
    STALL = 11
    """All descriptors wait for some that never come."""
    IDENTITY = 12
    """The program was made for another engine: nothing of it was read."""


class Target(IntEnum):
    """Where a load goes to."""

    FEATURES = 0
    WEIGHTS = 1
    PARAMETERS = 2
    TABLES = 3


class Operand(IntEnum):
    """Which ifmap values the lanes of the array take."""

    DENSE = 0
    """``simd`` consecutive values, the same for every output channel; or some of each of several
    rows, see ``row_lanes``."""
    DEPTHWISE = 1
    """One value for each output channel, that of its own channel: lane 0 of each."""
    DEPTHWISE_WINDOW = 2
    """A window of up to 3x3 values of its own channel for each output channel, tap
    ``3 * row + column`` at that lane. Columns are read one a cycle, their three rows at once."""


class Reduction(IntEnum):
    """How products become a result."""

    SUM = 0
    MAX = 1
    """The largest ifmap value instead: no weights; only with Operand.DEPTHWISE."""


class Round(IntEnum):
    """How a value with fractional bits becomes an integer.

    Roundings that others equal with another bias are none of their own: those to plus infinity, and
    those whose ties go up or down whatever the sign.
    """

    FLOOR = 0
    HALF_EVEN = 1
    """The nearest integer, at a tie the even one."""
    HALF_AWAY = 2
    """The nearest integer, at a tie that which is farther from zero."""
    HALF_TO_ZERO = 3
    """The nearest integer, at a tie that which is nearer to zero."""
    TO_ZERO = 4
    FROM_ZERO = 5
    DOUBLE = 6
    """Without the lowest 31 bits of the value, ties away from zero, if at least 32 bits are shifted
    out; else down. With a bias of 2**30 it is TensorFlow Lite Micro's product of 31 bits and
    its rounding shift."""
    FLOAT = 7
    """The value to 24 significant bits first, then to the nearest integer, both with ties to the
    even one: as a product of float32 numbers is rounded. For results up to FLOAT_RESULTS."""


FLOAT_RESULTS = (1 << 9) - 1
"""Largest magnitude of a result, before its offset, that Round.FLOAT need give exactly: what is
larger must be clipped."""
SINGLE_BITS = 24
"""Bits of a float32's significand."""
DOUBLE_BITS = 31
"""Bits that Round.DOUBLE leaves out."""
TABLE_FRACTION = 20
"""Fractional bits of entries of tables, which have 32 bits."""
FACTOR_BITS = 9
"""Bits of the factors of a product of two tensors: a byte, signed or not, less any zero point."""


class Loop(IntEnum):
    """What a loop of a tile goes over."""

    PIXEL = 0
    GROUP = 1
    TAP = 2


@dataclass(frozen=True)
class Field:
    """Bits of a record, with what they mean."""

    name: str
    width: int
    doc: str
    signed: bool = False

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest value."""
        if self.signed:
            return -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return 0, (1 << self.width) - 1


@dataclass(frozen=True)
class Record:
    """Fields one after the other, the first at the least significant end."""

    name: str
    fields: tuple[Field, ...]
    size: int
    """Bits, those behind the last field unused."""

    def __post_init__(self) -> None:
        if sum(field.width for field in self.fields) > self.size:
            raise AssertionError(f"fields of {self.name} do not fit {self.size} bits")

    def range(self, name: str) -> tuple[int, int]:
        """Smallest and largest value of a field."""
        return next(field.range for field in self.fields if field.name == name)

    def most(self, name: str) -> int:
        """The largest value of a field."""
        return self.range(name)[1]

    def pack(self, values: Mapping[str, int]) -> bytes:
        """Little endian; fields that are not given are 0. Raises ValueError for wrong values."""
        unknown = set(values) - {field.name for field in self.fields}
        if unknown:
            raise ValueError(f"{self.name} has no field {sorted(unknown)[0]!r}")
        word = place = 0
        for field in self.fields:
            value = int(values.get(field.name, 0))
            low, high = field.range
            if not low <= value <= high:
                raise ValueError(f"{self.name}.{field.name} = {value} is outside {low}..{high}")
            word |= (value & ((1 << field.width) - 1)) << place
            place += field.width
        return word.to_bytes(self.size // 8, "little")

    def unpack(self, data: bytes) -> dict[str, int]:
        """The values of all fields."""
        word, values = int.from_bytes(data[: self.size // 8], "little"), {}
        for field in self.fields:
            value = word & ((1 << field.width) - 1)
            word >>= field.width
            if field.signed and value >> (field.width - 1):
                value -= 1 << field.width
            values[field.name] = value
        return values


RECORD = Record(
    "PARAMETERS",
    (
        Field("mult", 32, "multiplier", signed=True),
        Field("bias", 58, "added to the product", signed=True),
        Field("shift", 6, "bits shifted out"),
    ),
    96,
)
"""Parameters of one output channel: ``round((sum * mult + bias) / 2**shift)``."""

HEADER = (
    Field("op", 4, "what is asked for"),
    Field("layer", 12, "number of the layer, for counters and errors"),
    Field("wait_load", COUNTER_BITS, "loads that must be finished"),
    Field("wait_compute", COUNTER_BITS, "tiles that must be finished"),
    Field("wait_store", COUNTER_BITS, "stores that must be finished"),
)

_ADDRESS = 20
"""Bits of a byte's place in a bank."""
_PITCH = 18
_ROWS = 12
_UNIT = (MOST_TILES - 1).bit_length()

TRANSFER = Record(
    "LOAD, STORE",
    (
        *HEADER,
        Field("target", 2, "buffer of a load: feature maps, weights, parameters, tables"),
        Field("address", 32, "first byte in external memory"),
        Field("pitch", 24, "bytes from row to row in external memory"),
        Field("rows", _ROWS, "rows"),
        Field("bytes", 24, "bytes of a row"),
        Field("base", _ADDRESS, "of ring row 0, in its bank; or the first word"),
        Field("bank_pitch", _PITCH, "bytes from row to row of a bank"),
        Field("ring", _ROWS, "rows that the ring holds, a multiple of the banks"),
        Field("first", _ROWS, "ring row of the first row"),
        Field("one_lane", 1, "weights are those of lane 0 alone: one for each output channel"),
        Field("word_beats", 12, "beats of a word of weights or parameters"),
        Field("units", MOST_TILES, "tile units that a load goes to: bit n is that of unit n"),
        Field("unit", _UNIT, "tile unit whose feature maps are stored"),
    ),
    8 * SLOT,
)
"""Moves ``rows`` rows of ``bytes`` bytes. Weights, parameters and tables are one row, whole words
from word ``base`` on. Of weights and parameters ``word_beats`` beats of a word are there, its first
ones; what they do not reach stays as it is. With ``one_lane`` a beat is a weight in lane 0, of 8
bits or 16, for each of as many output channels, and their weights in all other lanes become 0."""


def _loops() -> Iterator[Field]:
    for n in range(LEVELS):
        yield Field(f"loop{n}_kind", 2, "pixel, group or tap")
        yield Field(f"loop{n}_count", _ROWS, "steps")
        yield Field(f"loop{n}_position", 21, "added to the position where it steps", True)
        yield Field(f"loop{n}_row", _ROWS, "added to the row", True)
        yield Field(f"loop{n}_ring", _ROWS, "the same modulo the ring, added to the ring row")
        yield Field(f"loop{n}_weight", 17, "added to the weights' address", True)
        yield Field(f"loop{n}_psum", 17, "added to the psums' address", True)


def _output_loops() -> Iterator[Field]:
    for n in range(OUTPUT_LEVELS):
        yield Field(f"out{n}_group", 1, "1: over groups")
        yield Field(f"out{n}_count", _ROWS, "steps")
        yield Field(f"out{n}_position", 21, "added to the position of the result", True)
        yield Field(f"out{n}_row", _ROWS, "added to its row", True)
        yield Field(f"out{n}_second", 21, "added to the position of the second operand", True)


COMPUTE = Record(
    "COMPUTE",
    (
        *HEADER,
        Field("operand", 2, "dense, depthwise, window of a depthwise convolution"),
        Field("tap_rows", 2, "DENSE: rows that a step takes below the first one"),
        Field("reduction", 1, "sum of products, or largest value"),
        Field("ones", 1, "all weights are 1 in lane 0 and 0 elsewhere: none are read"),
        Field("x_signed", 1, "ifmap values are signed"),
        Field("accumulate", 1, "sums begin with those in the psum memory"),
        Field("no_writeback", 1, "sums stay in the psum memory: no results"),
        Field("pad", 8, "byte that stands for ifmap values outside rows and positions"),
        Field("x_base", _ADDRESS, "of ring row 0 of the ifmap, in its bank"),
        Field("x_pitch", _PITCH, "bytes from row to row of a bank"),
        Field("x_ring", _ROWS, "rows of the ifmap's ring"),
        Field("x_first", _ROWS, "ring row of the first tap"),
        Field("x_row", _ROWS, "row of the first tap, negative above the ifmap", True),
        Field("x_rows", _ROWS, "rows of the ifmap"),
        Field("x_position", 21, "position of the first tap in its row, negative left of it", True),
        Field("x_bytes", _ADDRESS, "bytes of a row of the ifmap"),
        Field("weight", 16, "first word of weights"),
        Field("psum", 16, "first word of psums"),
        Field("window_first", 2, "DEPTHWISE_WINDOW: columns before a row's first whole window"),
        Field("window_step", 2, "DEPTHWISE_WINDOW: columns from window to window"),
        *_loops(),
        Field("parameter", 16, "word of parameters of the first group"),
        Field("one_word", 1, "of all groups"),
        Field("rounding", 3, "how requantization rounds"),
        Field("offset", 16, "added to what is rounded", True),
        Field("low", 32, "smallest result", True),
        Field("high", 32, "largest result", True),
        Field("wide", 1, "results have 4 bytes, else the bits of stored ifmap values"),
        Field("lanes", 7, "output channels of the last group"),
        Field("groups", _ROWS, "groups of output channels"),
        *_output_loops(),
        Field("y_base", _ADDRESS, "of ring row 0 of the ofmap, in its bank"),
        Field("y_pitch", _PITCH, "bytes from row to row of a bank"),
        Field("y_ring", _ROWS, "rows of the ofmap's ring"),
        Field("y_first", _ROWS, "ring row of the first result"),
        Field("tables", 1, "results go through table 0, whose entry is rounded"),
        Field("second", 1, "and a second operand, through table 1, is added before that"),
        Field("second_base", _ADDRESS, "of ring row 0 of the second operand, in its bank"),
        Field("second_pitch", _PITCH, "bytes from row to row of a bank"),
        Field("second_ring", _ROWS, "rows of its ring"),
        Field("second_first", _ROWS, "ring row of its first value"),
        Field("second_half_even", 1, "ties of entries go to the even integer; else it rounds down"),
        Field("second_offset", 9, "added to what is rounded", True),
        Field("second_low", 9, "smallest result", True),
        Field("second_high", 9, "largest result", True),
        *(
            Field(f"loop{n}_skip", _ROWS, "first steps in which sums give no results")
            for n in SKIPPING
        ),
        Field("softmax", 1, "no sums: results are the softmax of the second operand's vectors"),
        Field("product", 1, "sums are multiplied by the second operand, which then is set too"),
        Field("product_signed", 1, "bytes of the second operand are signed as factors"),
        Field("product_sum", FACTOR_BITS, "added to a sum before it is a factor", True),
        Field("product_second", FACTOR_BITS, "added to the other factor", True),
        Field("unit", _UNIT, "tile unit that carries it out"),
    ),
    8 * 6 * SLOT,
)
"""One tile of a layer.

The loops, the first the innermost, step through the taps; sums begin where all tap loops are at
their start and are finished where all are at their end. Each loop's increments are those of its
step, what the loops inside it went back included. Row and position say which ifmap values a tap
takes: those from byte ``x_base + ring row // BANKS * x_pitch + position`` of bank ``ring row %
BANKS`` on, side by side; the pad byte stands for those whose row is not in ``0 .. x_rows - 1`` or
whose first byte's position is not in ``0 .. x_bytes - 1``. Results come in the order in which sums
are finished; their places are stepped by loops of their own, and those of the second operand beside
them. Sums that are finished while a loop of SKIPPING is at its first ``skip`` steps give none.

Where the increments of psums make a sum that of many steps of loops that are no taps, its psum says
which it is: psums' addresses wrap at the size of their memory, and a sum goes on with the next step
of the same psum. Where all sums of a tile are finished and none is held, one psum is enough, if the
loops over taps are the innermost.

With Operand.DENSE a step takes values of one row, or the first ones of each of ``tap_rows + 1``
rows, one below the other: ``simd // (tap_rows + 1)`` of each, in as many lanes. It may read rows of
the ring that hold no row of the ifmap yet: their weights are 0.

With Operand.DEPTHWISE_WINDOW the innermost loop reads columns (x_position is that of the first one,
which is never left of the ifmap: what is left of it is padding); from column ``window_first`` on,
every ``window_step`` columns, a window is complete and gives a sum. Its newest column is tap
column 2. An array of fewer than 9 lanes takes none.

With softmax the array does nothing, whatever its loops are. Vectors of ``groups`` words, the last
one of ``lanes`` bytes, at most SOFTMAX_CHANNELS bytes in all, are read where the second operand's
words lie, as bytes that are signed if ``x_signed`` is set; the innermost loop of the results goes
over the words of a vector. Entry d of table 0 is the exponential, as Q0.31, of a byte that is less
by d than the largest one of its vector, 2**31 - 1 for no difference. A result of n 256th parts is
the byte ``low + n``, n at most 255; ``no_writeback``, ``tables`` and ``wide`` are 0.
"""

RECORDS = {Opcode.LOAD: TRANSFER, Opcode.STORE: TRANSFER, Opcode.COMPUTE: COMPUTE}


def row_lanes(simd: int, tap_rows: int) -> int:
    """Consecutive values of each row that a step of Operand.DENSE takes.

    Those of the row ``n`` below the first one are in the lanes from ``n`` times as many on. Lanes
    behind those of the last row have weights of 0.
    """
    return simd // (tap_rows + 1)


def slots(op: Opcode) -> int:
    """Slots of 32 bytes that a descriptor takes."""
    return RECORDS[op].size // (8 * SLOT) if op in RECORDS else 1
