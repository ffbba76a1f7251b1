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
from ..limits import check_unpacked
from .hdf5 import Arrays, read_confined

CONFIG, WEIGHTS = "config.json", "model.weights.h5"

Variables = dict[str, list[np.ndarray[Any, Any]]]
"""The variables of a layer, in Keras' order, by where they are in it ("", "kq/quantizer", ...)."""


@dataclass(frozen=True)
class Archive:
    """A .keras file: the configuration, and variables by the layers' places."""

    config: Any
    places: dict[str, Variables]

    def variables(self, place: tuple[str, ...]) -> Variables:
        """The variables of a layer, which may be in a model inside of the model: ``place``
        has the names of these models first. Empty where there are none."""
        model, paths = self.config, []
        for name in place:
            entries = model["config"]["layers"]
            found = places_of([entry["class_name"] for entry in entries])
            names = [entry["config"].get("name") for entry in entries]
            if name not in names:
                return {}
            model, path = entries[names.index(name)], found[names.index(name)]
            paths.append(path)
        own = "/".join(f"layers/{path}" for path in paths[1:])
        return {
            where[len(own) :].strip("/"): arrays
            for where, arrays in self.places.get(paths[0], {}).items()
            if f"{where}/".startswith(f"{own}/" if own else "")
        }


def read_archive(path: Path) -> Archive:
    """Read a file that Keras 3 wrote. Raises UserError where it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = path.stat().st_size
            config = json.loads(_member(archive, CONFIG, size))
            weights = _member(archive, WEIGHTS, size)
    except UserError:
        raise
    except (zipfile.BadZipFile, EOFError, ValueError, RecursionError, OSError) as error:
        raise UserError(
            f"not a readable .keras archive ({error})", hint="copy or save it again"
        ) from None
    except Exception as error:  # zlib and zipfile have more ways to say that a file is damaged
        raise UserError(f"not a readable .keras archive ({type(error).__name__})") from None
    return Archive(config, _places(weights))


def _member(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    """One file of an archive of ``size`` bytes. Raises UserError."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise UserError(
            f"the archive has no {name}", hint="save the whole model: model.save('name.keras')"
        ) from None
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(f"{name} is compressed by a method that Keras does not use")
    check_unpacked(info.file_size, size, name)
    with archive.open(info) as member:
        # No more than is stated, whatever is there.
        return member.read(info.file_size)


def _places(content: bytes) -> dict[str, Variables]:
    try:
        return read_confined(io.BytesIO(content), len(content), variables_of)
    except UserError as error:
        raise UserError(f"{WEIGHTS}: {error.reason}", hint=error.hint) from None


def variables_of(file: Any, arrays: Arrays) -> dict[str, Variables]:
    """The arrays 0, 1, ... of each group ``vars``, by the layer that it is in."""
    places: dict[str, Variables] = {}
    if "layers" not in file:
        raise UserError(
            "the weights are not laid out as Keras 3 does it",
            hint="save by Keras 3, or by Keras 2 with model.save('name.h5')",
        )
    layers: Any = file["layers"]
    for place in layers:
        found: Variables = {}
        places[place] = found

        def keep(name: str, group: Any, found: Variables = found) -> None:
            where, _, last = f"/{name}".rpartition("/")
            if last == "vars" and len(group):
                # A layer may keep others under names of their own.
                numbers = [str(n) for n in range(len(group)) if str(n) in group]
                found[where.strip("/")] = [arrays.read(group[number]) for number in numbers]

        layers[place].visititems(keep)
    return places


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
