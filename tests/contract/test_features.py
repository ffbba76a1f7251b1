"""What engines can be built without: what is made of what, and who asks for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwgen.contract.engine import EngineShape
from hwgen.contract.features import Feature, asks, left_out, with_parts
from hwgen.contract.identity import engine_hash
from hwgen.contract.isa import COMPUTE, Operand, Reduction, Round

ASKING = {
    Feature.SOFTMAX: {"softmax": 1},
    Feature.PRODUCT: {"product": 1},
    Feature.SECOND: {"second": 1},
    Feature.TABLES: {"tables": 1},
    Feature.MAXPOOL: {"reduction": Reduction.MAX},
    Feature.WINDOW: {"operand": Operand.DEPTHWISE_WINDOW},
    Feature.TAP_ROWS: {"tap_rows": 3},
    Feature.WIDE: {"wide": 1},
    Feature.FLOAT: {"rounding": Round.FLOAT},
    Feature.DOUBLE: {"rounding": Round.DOUBLE},
}


def test_each_field_asks_for_its_feature_alone() -> None:
    nothing = {field.name: 0 for field in COMPUTE.fields}
    assert not any(asks(nothing, feature) for feature in Feature)
    for feature, fields in ASKING.items():
        assert [other for other in Feature if asks(nothing | fields, other)] == [feature]
    others = {"operand": Operand.DEPTHWISE, "rounding": Round.FROM_ZERO, "ones": 1}
    assert not any(asks(nothing | others, feature) for feature in Feature)


@pytest.mark.parametrize(
    ("named", "gone"),
    [
        ((), ()),
        (("float", "maxpool"), ("maxpool", "float")),
        (("second",), ("softmax", "product", "second")),
        (("tables",), ("softmax", "tables")),
        (("product",), ("product",)),
        (("tables", "product"), ("softmax", "product", "second", "tables")),
        (tuple(Feature), tuple(Feature)),
    ],
)
def test_what_is_made_of_a_part_goes_with_it(named: tuple[str, ...], gone: tuple[str, ...]) -> None:
    assert left_out(named) == gone
    shape = EngineShape(without=named)  # type: ignore[arg-type]
    assert shape.without == gone and shape.lacks == gone
    assert replace(shape, tiles=2).without == gone


def test_engines_that_are_the_same_hardware_have_one_identity() -> None:
    whole = EngineShape()
    assert EngineShape(without=(Feature.SECOND,)) == EngineShape(
        without=(Feature.PRODUCT, Feature.SECOND)
    )
    engines = [whole, *(replace(whole, without=(feature,)) for feature in Feature)]
    assert len({engine_hash(engine) for engine in engines}) == len(engines)
    # What an engine can not have it is the same without.
    for engine, feature in (
        (EngineShape(4, 8), Feature.WINDOW),
        (EngineShape(ifmap_bits=16), Feature.SOFTMAX),
    ):
        assert engine_hash(engine) == engine_hash(replace(engine, without=(feature,)))


def test_parts_and_names() -> None:
    assert with_parts([Feature.SOFTMAX]) == {Feature.SOFTMAX, Feature.SECOND, Feature.TABLES}
    assert with_parts([Feature.WIDE]) == {Feature.WIDE}
    with pytest.raises(ValueError, match="is not a valid Feature"):
        EngineShape(without=("nothing",))  # type: ignore[arg-type]
    assert not EngineShape(ifmap_bits=4).has(Feature.SOFTMAX)
    assert EngineShape(ifmap_bits=4).without == ()
