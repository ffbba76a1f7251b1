"""What of an engine a network needs, and the refusal of one that the engine was built without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ....contract.engine import EngineShape
from ....contract.features import Feature, with_parts
from ....contract.isa import Reduction, Round
from ....errors import UserError
from .tasks import Stored, Task

_ROUNDINGS = {Round.FLOAT: Feature.FLOAT, Round.DOUBLE: Feature.DOUBLE}
_DOES = {
    Feature.SOFTMAX: "a softmax",
    Feature.PRODUCT: "a product of two tensors",
    Feature.SECOND: "a sum of two tensors",
    Feature.TABLES: "a function of a byte or a sum of two tensors, through tables",
    Feature.MAXPOOL: "the largest of several values",
    Feature.WIDE: "results of more bits than ifmap values have",
    Feature.FLOAT: "float32's rounding",
    Feature.DOUBLE: "two roundings in a row",
}


class LeftOut(UserError):
    """A network needs what the engine was built without.

    Parameters: ``reason`` and ``layer`` as of UserError; ``features`` that are to be there.
    """

    def __init__(self, reason: str, layer: str | None, features: Iterable[Feature]) -> None:
        self.features = tuple(feature for feature in Feature if feature in features)
        names = ",".join(self.features)
        hint = f"leave {names} out of --without, or use --arch dataflow"
        super().__init__(reason, layer=layer, hint=hint)


def needed(task: Task, y: Stored) -> set[Feature]:
    """The features that a task can not be carried out without. y : the tensor that it writes."""
    if task.softmax is not None:
        return {Feature.SOFTMAX}
    asked = {
        Feature.PRODUCT: task.product is not None,
        Feature.SECOND: task.second is not None,
        Feature.TABLES: task.tables is not None,
        Feature.MAXPOOL: task.reduction is Reduction.MAX,
        Feature.WIDE: y.wide,
    }
    found = {feature for feature, there in asked.items() if there}
    return found | {f for rounding, f in _ROUNDINGS.items() if task.requant.rounding is rounding}


def check_features(tasks: Iterable[Task], stored: Mapping[str, Stored], shape: EngineShape) -> None:
    """Raises LeftOut for the first task that needs what the engine was built without."""
    tasks = list(tasks)
    of_tasks = [needed(task, stored[task.y]) for task in tasks]
    missing = with_parts(set().union(*of_tasks)) & set(shape.without)
    for task, features in zip(tasks, of_tasks, strict=True):
        lacking = [feature for feature in Feature if feature in features & missing]
        if lacking:
            what = lacking[0]
            raise LeftOut(
                f"{_DOES[what]} needs {what}, which the engine is built without",
                task.layers[-1],
                missing,
            )
