"""HGQ2 models (.keras): heterogeneous bit widths, read without Keras.

``files`` reads the archive, ``quantizers`` are the rules for bits, ``layers`` turn each layer into
steps, and ``..keras`` those into a graph.
"""

from __future__ import annotations

import json
from pathlib import Path

from ...errors import UserError
from ...identifiers import identifier
from ...ir import Graph
from ...numeric import QType
from ..keras.architecture import read_network
from ..keras.flow import Flow
from ..keras.lower import lower
from .files import places_of, read_archive
from .layers import check_supported, steps_of

REGISTERED = '"hgq>'


def load_hgq(path: Path, input_type: QType | None) -> Graph:
    """Import an HGQ2 model.

    Parameters
    ----------
    path : a .keras archive. input_type : type of the model's input; None: that of its first
        quantizer, or the one that holds all of that one's types.

    Raises UserError naming the file and the layer where something is damaged or unsupported.
    """
    archive = read_archive(path)
    if REGISTERED not in json.dumps(archive.config):
        raise UserError(
            "the archive holds no layers of HGQ2",
            hint="QKeras models are read from .h5: model.save('name.h5')",
        )
    network = read_network(archive.config, check_supported)
    entries = archive.config["config"]["layers"]
    places = places_of([entry["class_name"] for entry in entries])
    by_name = dict(zip((e["config"]["name"] for e in entries), places, strict=True))
    flow = Flow.of(
        network.input_name,
        network.layers,
        lambda layer: steps_of(layer, archive.places.get(by_name.get(layer.name, ""), {})),
    )
    name = identifier(path.stem)
    return lower(name, network.input_name, network.input_shape, flow, input_type)
