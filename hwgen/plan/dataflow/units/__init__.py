"""Units of the dataflow architecture as data: sizes, bounds, and their event processes."""

from .base import BeatUnit, StreamShape, Unit
from .elementwise import (
    ArgMaxUnit,
    CastUnit,
    RegroupUnit,
    RequantUnit,
    RescaleUnit,
    SoftmaxUnit,
    StaircaseUnit,
)
from .join_fork import AddUnit, ConcatUnit, ForkUnit, JoinUnit, MulUnit
from .mac import ConvUnit, DenseUnit, MacUnit, RingConvUnit
from .pad_crop_upsample import CropUnit, PadUnit, UpsampleUnit
from .pools import StreamPoolUnit, WindowPoolUnit
from .windowed import WindowedUnit, rows_needed

__all__ = [
    "AddUnit",
    "ArgMaxUnit",
    "BeatUnit",
    "CastUnit",
    "ConcatUnit",
    "ConvUnit",
    "CropUnit",
    "DenseUnit",
    "ForkUnit",
    "JoinUnit",
    "MacUnit",
    "MulUnit",
    "PadUnit",
    "RegroupUnit",
    "RequantUnit",
    "RescaleUnit",
    "RingConvUnit",
    "SoftmaxUnit",
    "StaircaseUnit",
    "StreamPoolUnit",
    "StreamShape",
    "Unit",
    "UpsampleUnit",
    "WindowPoolUnit",
    "WindowedUnit",
    "rows_needed",
]
