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
from ..keras.archive import Archive
from ..keras.flow import Flow
from ..keras.lower import lower
from ..keras.work import Words
from .layers import check_supported, steps_of

WORDS = Words("HGQ2", "Quantizer")
"""HGQ2's layer of its own that quantizes (hgq.quantizer.Quantizer)."""

REGISTERED = '"hgq>'


def load_hgq(path: Path, archive: Archive, input_type: QType | None) -> Graph:
    """Import an HGQ2 model.

    Parameters
    ----------
    path, archive : a .keras file, and what it holds.
    input_type : type of the model's input; None: that of its first quantizer, or the one that holds
        all of that one's types.

    Raises UserError naming the file and the layer where something is damaged or unsupported.
    """
    if REGISTERED not in (text := json.dumps(archive.config)):
        raise _not_of_hgq2(text)
    network = read_network(archive.config, check_supported, keras=3)
    flow = Flow.of(
        network,
        lambda layer: steps_of(layer, archive.variables(layer.place)),
    )
    name = identifier(path.stem)
    return lower(name, network.inputs, flow, input_type, WORDS)


def _not_of_hgq2(config: str) -> UserError:
    """Why an archive of other layers is not read, and what to do."""
    if '"HGQ>' in config:
        return UserError(
            "the archive holds layers of HGQ 1, whose files are not read",
            hint="build the model with HGQ2 (pip install HGQ2), train it, and save it again",
        )
    return UserError(
        "the archive holds no layers of HGQ2, so nothing says how its numbers are quantized",
        hint="build the model of HGQ2's layers, or of QKeras'",
    )
