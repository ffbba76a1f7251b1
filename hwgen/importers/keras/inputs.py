"""What types a Keras network's inputs have."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...errors import UserError
from ...ir.ops import Cast
from ...numeric import QType, parse_type
from .flow import Flow
from .steps import Casting, Quantize, Step

DEFAULT_INPUT = "u8.8"


class Input(NamedTuple):
    """An input's type, a note on where it comes from, and whether the model states it; the flow
    without a quantizer that only says the input's type."""

    flow: Flow
    type: QType
    note: str
    stated: bool


def input_of(flow: Flow, source: int, given: QType | None) -> Input:
    """What an input of a flow is. ``given``: the type that the user states, which comes first."""
    if given is not None:
        if given.scale is not None:
            raise UserError(
                f"input type {given} has a scale", hint="give fractional bits, as in u8.8"
            )
        return Input(flow, given, f"input type {given}, as given", False)
    readers = flow.readers(source)
    first = flow.steps[readers[0]] if len(readers) == 1 else None
    if isinstance(first, Quantize) and source not in flow.outputs:
        quantizer = first.quantizer
        if quantizer.grid == quantizer.type.frac and not quantizer.binary:
            note = (
                f"input type {quantizer.type} from the first quantizer ({first.name}), which is "
                "left out: the input is its result"
            )
            return Input(flow.without(readers[0]), quantizer.type, note, True)
    quantizers = [flow.steps[reader] for reader in readers]
    if quantizers and all(isinstance(step, (Quantize, Casting)) for step in quantizers):
        types = [t for step in quantizers for t in _types(step)]
        wide = Cast(tuple(types), np.array([0])).type
        names = ", ".join(step.name for step in quantizers)
        note = f"input type {wide}, which holds every type of its quantizers ({names})"
        return Input(flow, wide, note, True)
    note = f"input type {DEFAULT_INPUT} assumed: the model does not say it (set --input-type)"
    return Input(flow, parse_type(DEFAULT_INPUT), note, False)


def _types(step: Step) -> tuple[QType, ...]:
    """The types that a quantizer brings elements to."""
    if isinstance(step, Quantize):
        return (step.quantizer.type,)
    assert isinstance(step, Casting)
    return step.types
