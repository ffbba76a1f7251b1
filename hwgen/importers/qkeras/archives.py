"""QKeras models on Keras 3 (``.keras`` archives): variables that are numbered there get the names
that they have in HDF5 files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...identifiers import identifier
from ...ir import Graph
from ...numeric import QType
from ..hgq.files import Archive, Variables
from ..keras.architecture import KerasLayer, read_network
from ..keras.flow import Flow
from ..keras.lower import lower
from .files import Weights
from .layers import check_supported, steps_of

_WEIGHTS: dict[str, tuple[tuple[str, str | None], ...]] = {
    "QConv1D": (("kernel", None), ("bias", "use_bias")),
    "QConv2D": (("kernel", None), ("bias", "use_bias")),
    "QDense": (("kernel", None), ("bias", "use_bias")),
    "QDepthwiseConv2D": (("depthwise_kernel", None), ("bias", "use_bias")),
    "BatchNormalization": (
        ("gamma", "scale"), ("beta", "center"), ("moving_mean", None), ("moving_variance", None),
    ),
}  # fmt: skip
"""A layer's weights in the order of its variables, and the field without which one is not there."""

_OTHERS = ("QBatchNormalization", "QConv2DBatchnorm", "QDenseBatchnorm",
           "QDepthwiseConv2DBatchnorm", "QSeparableConv1D", "QSeparableConv2D")  # fmt: skip
"""Layers whose variables have been seen in HDF5 files only."""


def is_qkeras(config: Any) -> bool:
    """Whether an archive's configuration has layers of QKeras."""
    return '"qkeras' in json.dumps(config)


def load_archive(path: Path, archive: Archive, input_type: QType | None) -> Graph:
    """Import a QKeras model that Keras 3 saved; ``input_type`` as of load_qkeras.

    Raises UserError naming the layer where something is damaged or unsupported.
    """
    network = read_network(archive.config, _check)
    flow = Flow.of(
        network,
        lambda layer: steps_of(layer, _named(layer, archive.variables(layer.place))),
    )
    name = identifier(path.stem)
    return lower(name, network.inputs, flow, input_type)


def _check(layer: KerasLayer) -> None:
    check_supported(layer)
    if layer.class_name in _OTHERS:
        raise layer.error(
            f"{layer.class_name} is not read from .keras files",
            "save the model with model.save('name.h5') by QKeras 0.9 on Keras 2",
        )


def _named(layer: KerasLayer, variables: Variables) -> Weights:
    """A layer's weights by name. Raises UserError where there are more or fewer of them."""
    arrays = variables.get("", [])
    names = [
        name
        for name, field in _WEIGHTS.get(layer.class_name, ())
        if field is None or layer.config.get(field, True)
    ]
    if len(arrays) != len(names):
        wanted = ", ".join(names) or "none"
        raise layer.error(
            f"has {len(arrays)} variables, its configuration says {wanted}",
            "the file is damaged: save it again",
        )
    return dict(zip(names, arrays, strict=True))
