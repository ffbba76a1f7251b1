"""Reading .keras archives: the model's configuration, and each layer's variables."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MAX_BYTES = 1 << 31

Variables = dict[str, list[np.ndarray[Any, Any]]]
"""The variables of a layer, in Keras' order, by where they are in it ("", "kq/quantizer", ...)."""


@dataclass(frozen=True)
class Archive:
    """A .keras file: the configuration, and variables by the layers' places."""

    config: Any
    places: dict[str, Variables]


def read_archive(path: Path) -> Archive:
    """Read a file that Keras 3 wrote. Raises UserError where it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(_member(archive, CONFIG))
            weights = _member(archive, WEIGHTS)
    except UserError:
        raise
    except (zipfile.BadZipFile, EOFError, ValueError, RecursionError, OSError) as error:
        raise UserError(
            f"not a readable .keras archive ({error})", hint="copy or save it again"
        ) from None
    except Exception as error:  # zlib and zipfile have more ways to say that a file is damaged
        raise UserError(f"not a readable .keras archive ({type(error).__name__})") from None
    return Archive(config, _places(weights))


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise UserError(
            f"the archive has no {name}", hint="save the whole model: model.save('name.keras')"
        ) from None
    if info.file_size > MAX_BYTES:
        raise UserError(f"{name} has {info.file_size} bytes, at most {MAX_BYTES} are read")
    return archive.read(info)


def _places(content: bytes) -> dict[str, Variables]:
    import h5py  # only those who import such models pay for it

    places: dict[str, Variables] = {}
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            layers: Any = file["layers"]
            for place in layers:
                places[place] = {}
                layers[place].visititems(
                    lambda name, group, found=places[place]: _variables(name, group, found)
                )
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{WEIGHTS} is not readable ({reason})", hint="save it again") from None
    return places


def _variables(name: str, group: Any, found: Variables) -> None:
    """Keep the arrays 0, 1, ... of a group ``vars``."""
    where, _, last = f"/{name}".rpartition("/")
    if last == "vars" and len(group):
        arrays = [np.asarray(group[str(n)]) for n in range(len(group))]
        found[where.strip("/")] = arrays


def places_of(class_names: list[str]) -> list[str]:
    """Where Keras keeps the variables of layers: the class in snake case, numbered."""
    seen: Counter[str] = Counter()
    result = []
    for class_name in class_names:
        name = re.sub(r"\W+", "", class_name)
        name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
        name = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
        result.append(name if not seen[name] else f"{name}_{seen[name]}")
        seen[name] += 1
    return result
