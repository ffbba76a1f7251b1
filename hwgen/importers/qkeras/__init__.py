"""QKeras models (HDF5, or architecture JSON with HDF5 weights), read without TensorFlow.

The way of a file: ``files`` reads bytes, ``layers`` and ``kernels`` turn each layer into steps, and
``..keras`` those into a graph. ``quantizers`` and ``parameters`` hold the integer rules of QKeras
for activations and weights, ``functions`` those of its activations that are no clipped rounding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import UserError
from ...identifiers import identifier
from ...ir import Graph
from ...numeric import QType
from ..keras.architecture import read_network
from ..keras.archive import Archive
from ..keras.flow import Flow
from ..keras.lower import lower
from .archives import load_archive
from .files import find_weights, read_hdf5, version
from .layers import check_supported, steps_of


def is_architecture(obj: Any) -> bool:
    """Whether a JSON value is what Keras' ``to_json`` writes."""
    return isinstance(obj, dict) and isinstance(obj.get("class_name"), str) and "config" in obj


def load_qkeras(
    path: Path, architecture: Any, input_type: QType | None, weights: Path | None
) -> Graph:
    """Import a QKeras model.

    Parameters
    ----------
    path : the model file: HDF5, or the architecture JSON.
    architecture : the parsed JSON, or None when ``path`` is HDF5.
    input_type : type of the model's input; None: that of a first QActivation, else u8.8.
    weights : HDF5 file with the weights; None: in ``path``, or beside the architecture JSON.

    Raises UserError naming the file and the layer where something is damaged or unsupported.
    """
    if architecture is None:
        content = read_hdf5(path)
        if content.model_config is None:
            raise UserError(
                "the file holds weights only, no model",
                file=path,
                hint="give the architecture JSON and name this file as its weights, or save the "
                "whole model with model.save('name.h5')",
            )
        architecture, keras = content.model_config, content.keras
        if weights is not None:
            content = read_hdf5(weights)
    else:
        keras = _saved_by(architecture)
        weights = weights or find_weights(path)
        content = read_hdf5(weights)
    if content.places is not None:
        return load_archive(path, Archive(architecture, content.places), input_type)
    network = read_network(architecture, check_supported, keras)
    flow = Flow.of(
        network,
        lambda layer: steps_of(layer, content.weights(layer.place)),
    )
    name = identifier(path.stem)
    return lower(name, network.inputs, flow, input_type)


def _saved_by(architecture: Any) -> int:
    """The version of Keras that wrote an architecture: Keras 3 does not say it, but has more
    fields."""
    if "keras_version" in architecture:
        return version(architecture["keras_version"])
    return 3 if "registered_name" in architecture else 2
