"""What a user asks of a tiled engine, and the engine that this is."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ...contract.engine import (
    BANKS,
    MAX_FEATURE_BYTES,
    MEM_WIDTHS,
    MOST_BITS,
    TILES,
    EngineShape,
    widest_port,
)
from ...contract.features import Feature
from ...contract.isa import WINDOW_TAPS
from ...errors import OptionError, shown
from ...values import integer
from ..options import Options, option
from .mapping.stationarity import Stationarity

DEFAULT_ARRAY = (16, 16)
SHARED = 4
"""Sums of a word for each requantizer, where words come in several steps."""
DEFAULT_RESIDENT = 2
AUTO = "auto"
ORDERS = (AUTO, *(kind.value for kind in Stationarity))
_SMALLEST, _LARGEST = 4, 64
"""The least and the most that PE and SIMD can be."""
MOST_RESIDENT = 8
_LEAST_FEATURES = 16 << 10
LARGEST_WORDS = 1 << 16
"""Words of a memory that the fields of descriptors reach."""
LARGEST_BUFFERS = 16 << 10
"""The most KiB that buffers can be asked to take."""


@dataclass(frozen=True)
class TiledOptions(Options):
    """Options of the command line under the same names; None: not given.

    multipliers : of all tile units together, instead of array. array : PExSIMD, of each tile unit,
    or a sequence of the two sizes.
    requantizers : of each tile unit. tiles : tile units side by side. resident : tiles held in each
    buffer. buffer_kib : of all buffers of all units together. mem_width : bits of the external
    memory's port. order : of the loops of tiles, AUTO or a value of
    mapping.stationarity.Stationarity. bits : IFMAP,WEIGHT: of an ifmap value and of a weight, or a
    sequence of the two. without : features that the engine does without (see
    contract.features.Feature), with commas between them, or a collection of their names.
    """

    exclusive: ClassVar[tuple[str, ...]] = ("multipliers", "array")

    multipliers: int | None = option(
        "most multipliers of all arrays together, instead of --array",
        metavar="N",
        convert=int,
    )
    array: str | Sequence[int] | None = option(
        "size of each array: output channels x input values a cycle (default 16x16)",
        metavar="PExSIMD",
    )
    requantizers: int | None = option(
        "sums of each array that are requantized at a time (default: all of a word where SIMD is 9 "
        "or more, else a quarter of them)",
        metavar="N",
        convert=int,
    )
    tiles: int | None = option(
        "tile units side by side, an array each: 1, 2, 4 or 8 (default 1)",
        metavar="N",
        convert=int,
    )
    resident: int | None = option(
        f"tiles that each buffer holds at a time (default {DEFAULT_RESIDENT})",
        metavar="N",
        convert=int,
    )
    buffer_kib: int | None = option(
        "most KiB of all buffers together (default: by the array's size)",
        metavar="N",
        convert=int,
    )
    mem_width: int | None = option(
        "width of external memory's port: 32, 64, 128 or 256 (default 64)",
        metavar="BITS",
        convert=int,
    )
    bits: str | Sequence[int] | None = option(
        f"bits of an ifmap value and of a weight, 1 to {MOST_BITS} each (default 8,8)",
        metavar="IFMAP,WEIGHT",
    )
    without: str | Collection[str] | None = option(
        f"what the engine does without, of {', '.join(Feature)} (default: it has all)",
        metavar="FEATURE[,FEATURE...]",
    )
    order: str | None = option(
        "which data stay at the array while it computes (default: the best for each layer)",
        choices=ORDERS,
    )

    def __post_init__(self) -> None:
        """Take the array's sizes, and the widths, as two numbers too."""
        if self.array is not None and not isinstance(self.array, str):
            object.__setattr__(self, "array", _as_text(self.array, "x", _no_array))
        if self.bits is not None and not isinstance(self.bits, str):
            object.__setattr__(self, "bits", _as_text(self.bits, ",", _no_bits))
        if self.without is not None and not isinstance(self.without, str):
            names = _names(self.without)  # of none at all nothing is left out
            object.__setattr__(self, "without", names or None)
        super().__post_init__()

    def engine(self) -> tuple[EngineShape, int]:
        """The engine, and the tiles held in each of its buffers.

        Raises OptionError that names the option which is wrong.
        """
        tiles = 1 if self.tiles is None else self.tiles
        if tiles not in TILES:
            raise OptionError(f"--tiles {tiles}: give {', '.join(map(str, TILES))}")
        resident = DEFAULT_RESIDENT if self.resident is None else self.resident
        if not 1 <= resident <= MOST_RESIDENT:
            raise OptionError(f"--resident {resident}: give 1 to {MOST_RESIDENT}")
        pe, simd = self._array(tiles)
        width = EngineShape.mem_width if self.mem_width is None else self.mem_width
        if width not in MEM_WIDTHS:
            raise OptionError(f"--mem-width {width}: give 32, 64, 128 or 256")
        ifmap_bits, weight_bits = self._widths()
        widest = widest_port(pe, simd, weight_bits)
        if width > widest:
            raise OptionError(
                f"--mem-width {width}: an array of {pe}x{simd} takes at most {widest} bits"
            )
        requantizers = self.requantizers
        if requantizers is None:
            requantizers = default_requantizers(pe, simd)
        if not 1 <= requantizers <= pe or requantizers & (requantizers - 1):
            raise OptionError(
                f"--requantizers {requantizers}: give a power of two from 1 to {pe}, the sums that "
                f"an array of {pe}x{simd} makes at a time"
            )
        shape = default_engine(pe, simd, width, ifmap_bits, weight_bits)
        without = self._without()
        shape = replace(shape, tiles=tiles, requantizers=requantizers, without=without)
        if self.buffer_kib is not None:
            shape = with_buffers(shape, self.buffer_kib)
        return shape, resident

    @property
    def preferred(self) -> Stationarity | None:
        """The order of loops that was asked for; None: the best one."""
        if self.order in (None, AUTO):
            return None
        return Stationarity(self.order)

    def _widths(self) -> tuple[int, int]:
        """Bits of an ifmap value and of a weight."""
        if self.bits is None:
            return EngineShape.ifmap_bits, EngineShape.weight_bits
        found = re.fullmatch(r"\s*([0-9]{1,4})\s*,\s*([0-9]{1,4})\s*", str(self.bits))
        widths = (int(found[1]), int(found[2])) if found else (0, 0)
        if not all(1 <= bits <= MOST_BITS for bits in widths):
            raise _no_bits(str(self.bits))
        return widths

    def _without(self) -> tuple[Feature, ...]:
        """The features that are named."""
        if self.without is None:
            return ()
        names = [name.strip() for name in str(self.without).split(",")]
        for name in names:
            if name not in set(Feature):
                raise _no_feature(name)
            if names.count(name) > 1:
                raise OptionError(f"--without: {name} is named twice")
        return tuple(map(Feature, names))

    def _array(self, tiles: int) -> tuple[int, int]:
        multipliers = self.multipliers
        if self.array is not None and multipliers is not None:
            raise OptionError("give one of --multipliers and --array")
        if self.array is not None:
            found = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})", str(self.array).strip())
            sizes = (int(found[1]), int(found[2])) if found else (0, 0)
            if not all(_SMALLEST <= n <= _LARGEST and n & (n - 1) == 0 for n in sizes):
                raise _no_array(str(self.array))
            return sizes
        if multipliers is None:
            return DEFAULT_ARRAY
        if multipliers < tiles * _SMALLEST**2:
            each = f" each of {tiles} tile units has" if tiles > 1 else " the smallest array has"
            raise OptionError(
                f"--multipliers {multipliers}:{each} {_SMALLEST**2}",
                hint="the dataflow architecture does with fewer",
            )
        # The largest array within the budget, as square as it can be.
        pe = simd = _SMALLEST
        while tiles * pe * simd * 2 <= multipliers and pe < _LARGEST:
            pe, simd = (pe, 2 * simd) if pe == simd else (2 * pe, simd)
        return pe, simd


def _as_text(sizes: Any, between: str, refused: Callable[[str], OptionError]) -> str:
    """Numbers as the text of their option. Raises OptionError for anything but a sequence of
    them."""
    if not isinstance(sizes, (Sequence, np.ndarray)) or isinstance(sizes, (bytes, bytearray)):
        raise refused(shown(sizes))
    try:
        return between.join(str(integer("", size)) for size in sizes)
    except (OptionError, TypeError):  # an array without axes is a sequence of nothing
        raise refused(shown(sizes)) from None


def _names(given: Any) -> str:
    """Names as the text of their option. Raises OptionError for anything but a collection of
    texts."""
    if not isinstance(given, Collection) or not all(isinstance(name, str) for name in given):
        raise _no_feature(shown(given))
    return ",".join(given)


def _no_feature(given: str) -> OptionError:
    what = f"--without {given}: there is no such feature" if given else "--without: a name is empty"
    return OptionError(what, hint=f"give some of {', '.join(Feature)}, with commas between them")


def _no_array(given: str) -> OptionError:
    return OptionError(
        f"--array {given}: give PExSIMD, powers of two from {_SMALLEST} to {_LARGEST}, as in 16x16"
    )


def _no_bits(given: str) -> OptionError:
    return OptionError(f"--bits {given}: give IFMAP,WEIGHT, each from 1 to {MOST_BITS}, as in 8,8")


def default_requantizers(pe: int, simd: int) -> int:
    """Sums that are requantized at a time where nothing is said.

    An array of 9 lanes or more gives a word of sums of a depthwise layer in each cycle. One of
    fewer takes the taps of its sums in several steps. What an engine is built without does not
    count: its cycles stay the same where a network has no use for it.
    """
    return pe if simd >= WINDOW_TAPS**2 else max(1, pe // SHARED)


def default_engine(
    pe: int,
    simd: int,
    mem_width: int = EngineShape.mem_width,
    ifmap_bits: int = EngineShape.ifmap_bits,
    weight_bits: int = EngineShape.weight_bits,
) -> EngineShape:
    """The engine of an array where no size of buffers is asked for.

    Memories of psums, parameters and weights keep their words, whose width is the array's; that of
    feature maps has a value for each weight, but 16 Ki of them at least.
    """
    values = max(_LEAST_FEATURES, EngineShape.feature_bytes * pe * simd // 256)
    shape = EngineShape(
        pe, simd, mem_width=mem_width, ifmap_bits=ifmap_bits, weight_bits=weight_bits
    )
    return replace(shape, feature_bytes=values * shape.stored_bits // 8)


SHARES = {"feature_bytes": 32, "weight_words": 32, "psum_words": 8, "parameter_words": 3}
"""Parts of the buffers' bytes."""
_LEAST_WORDS = {"weight_words": 16, "psum_words": 16, "parameter_words": 8}


def with_buffers(engine: EngineShape, kib: int) -> EngineShape:
    """The engine with buffers that take at most so many KiB together, those of all tile units.

    All sizes are powers of two. Beginning with the smallest buffers there are, the one that is
    smallest for its share (``SHARES``) is doubled, as long as all fit. Raises OptionError where not
    even the smallest do.
    """
    tiles = engine.tiles
    shape = replace(engine, feature_bytes=4 * BANKS * engine.word, **_LEAST_WORDS)
    limit = (kib << 10) // tiles
    if buffer_bytes(shape) > limit or kib > LARGEST_BUFFERS:
        least = -(-tiles * buffer_bytes(shape) // 1024)
        arrays = "an array" if tiles == 1 else f"{tiles} arrays"
        raise OptionError(
            f"--buffer-kib {kib}: give {least} to {LARGEST_BUFFERS} for {arrays} of "
            f"{engine.pe}x{engine.simd}"
        )
    growing = list(SHARES)
    while growing:
        sizes = buffer_sizes(shape)
        name = min(growing, key=lambda n: sizes[n] / SHARES[n])
        value = 2 * getattr(shape, name)
        most = MAX_FEATURE_BYTES if name == "feature_bytes" else LARGEST_WORDS
        larger = replace(shape, **{name: value}) if value <= most else None
        if larger is not None and buffer_bytes(larger) <= limit:
            shape = larger
        else:
            growing.remove(name)
    return shape


def buffer_sizes(shape: EngineShape) -> dict[str, int]:
    """Bytes of each buffer of a tile unit, by the name of its size in EngineShape."""
    return {
        "feature_bytes": shape.feature_bytes,
        "weight_words": shape.weight_words * shape.weight_word_bytes,
        "psum_words": shape.psum_words * shape.psum_word_bytes,
        "parameter_words": shape.parameter_words * shape.parameter_bytes,
    }


def buffer_bytes(shape: EngineShape) -> int:
    """Bytes of all buffers of a tile unit."""
    return sum(buffer_sizes(shape).values())
