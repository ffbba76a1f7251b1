"""Reading Keras' HDF5 files: the model's configuration and the weights of each layer."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ..keras.archive import Variables, variables_of
from ..keras.hdf5 import Arrays, read_confined

Weights = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Hdf5Content:
    """``model_config`` is None in a file of weights only; arrays are by layer, then by their whole
    names. ``keras`` : the version that wrote it.

    ``places`` : what Keras 3 writes for weights alone, in place of arrays.
    """

    model_config: Any
    arrays: dict[str, Weights]
    keras: int
    places: dict[str, Variables] | None = None

    def weights(self, place: tuple[str, ...]) -> Weights:
        """Arrays of the layer at a place (the models that it is in, then itself) by the last part
        of their names (``conv1/kernel:0`` -> ``kernel``).

        The arrays of all layers of a model inside of a model are in one group, under the names of
        these layers. Raises UserError where two of them have the name.
        """
        found: Weights = {}
        for whole, array in self.arrays.get(place[0], {}).items():
            *parts, last = whole.split("/")
            if len(place) > 1 and place[-1] not in parts:
                continue
            name = last.split(":")[0]
            if len(place) > 1 and name in found:
                raise UserError(
                    f"two layers inside of {place[0]!r} have the name {place[-1]!r}",
                    layer=place[-1],
                    hint="give layers names of their own",
                )
            found[name] = array
        return found


def find_weights(architecture: Path) -> Path:
    """The HDF5 file beside ``name.json``: ``name_weights.h5``, ``name.weights.h5`` or
    ``name.h5``."""
    names = [f"{architecture.stem}{end}" for end in ("_weights.h5", ".weights.h5", ".h5")]
    for name in names:
        if (candidate := architecture.with_name(name)).exists():
            return candidate
    raise UserError(
        f"an architecture without weights: none of {', '.join(names)} is beside it",
        file=architecture,
        hint="name the weights file",
    )


def read_hdf5(path: Path) -> Hdf5Content:
    """Read a file that Keras wrote. Raises UserError where it is damaged or of another layout."""
    if not path.is_file():
        raise UserError("no such file" if not path.exists() else "not a file", file=path)
    try:
        config, content = read_confined(path, path.stat().st_size, _content)
    except UserError as error:
        raise error.within(path) from None
    return content if config is None else replace(content, model_config=_parse(config, path))


def _content(file: Any, arrays: Arrays) -> tuple[Any, Hdf5Content]:
    """The text of a model's configuration, if it is there, and the weights of all layers."""
    config = file.attrs.get("model_config")
    if "layers" in file and config is None:
        return None, Hdf5Content(None, {}, 3, variables_of(file, arrays))
    root: Any = file.get("model_weights", file)
    weights = {name: _layer(root[name], arrays) for name in _names(root, "layer_names")}
    return config, Hdf5Content(None, weights, version(file.attrs.get("keras_version")))


def version(text: Any) -> int:
    """The version of Keras in a text such as 3.15.1; 2 where there is none."""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    first = text.split(".")[0] if isinstance(text, str) else ""
    return int(first) if first.isdecimal() else 2


def _parse(config: Any, path: Path) -> Any:
    try:
        return json.loads(config)
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"its model_config is not JSON ({error})", file=path) from None


def _names(group: Any, key: str) -> list[str]:
    """A list attribute of Keras, which splits long ones into key0, key1, ..."""
    if key in group.attrs:
        parts = [group.attrs[key]]
    else:
        parts = []
        while f"{key}{len(parts)}" in group.attrs:
            parts.append(group.attrs[f"{key}{len(parts)}"])
        if not parts:
            return list(group)
    # An empty list is stored as an array of floats.
    texts = [text for part in parts for text in part if isinstance(text, (bytes, str))]
    return [text.decode("utf-8") if isinstance(text, bytes) else text for text in texts]


def _layer(group: Any, arrays: Arrays) -> Weights:
    """Arrays of one layer, or of a model inside of the model, by their names."""
    import h5py

    if not isinstance(group, h5py.Group):
        raise UserError("a layer's weights are not in a group of their own")
    names = _names(group, "weight_names")
    return {name: arrays.read(group[name]) for name in names}
