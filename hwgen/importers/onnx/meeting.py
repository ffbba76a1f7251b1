"""Quantizers that meet others, of which ONNX Runtime's graph optimizations make something else.

Where two pairs of QuantizeLinear and DequantizeLinear of one type follow each other, the runtime
leaves one: its range of real numbers is what both have in common, and its scale and zero point are
those of that range (its DoubleQDQPairsRemover). The rewrite is done here as it is done there, on
the file's graph, from the first pair on, one after the other. Transposes that cancel are removed
by the runtime before that; which ones it moves where is its own affair, so that anything but two
of them alone is refused.

Where a tensor that a moving operator gives is read by a QuantizeLinear and by others, the runtime
puts no quantizers before these others, and computes them in float32.

All is that of version 1.32, seen in its optimized graphs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ...aliases import Array
from ...errors import UserError
from .file import OxModel, OxNode

_TYPES = ("int8", "uint8", "int16", "uint16")
"""Stored types of which the runtime makes one pair of two."""
_NEUTRAL = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1}
"""Operators that the runtime leaves out where their one constant number is this."""
_MOVING = ("Flatten", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
"""Operators between which the runtime puts quantizers, or through which it moves transposes."""
Numbers = tuple[float, int]
"""Scale and zero point."""
_MOST_IN_A_ROW = 4
"""Pairs that follow each other, some of them equal, whose joins are known."""
_FLOAT = 1
"""ONNX's number of the type float32."""

BESIDE = "a QuantizeLinear reads its input too, which an operator that moves elements gives"


@dataclass(frozen=True)
class _Pair:
    """QuantizeLinear and the one DequantizeLinear behind it, and what both say."""

    q: OxNode
    dq: OxNode
    scale: np.float32
    zero: Array


def _passed(node: OxNode, constants: Mapping[str, Array]) -> str:
    """The input that is an operator's output to the runtime, which leaves it out; else nothing."""
    if node.kind in ("Identity", "Dropout") or (node.kind == "Cast" and node.get("to") == _FLOAT):
        return node.inputs[0] if node.inputs[0] not in constants else ""
    if node.kind not in _NEUTRAL or len(node.inputs) != 2:
        return ""
    a, b = node.inputs
    ways = [(a, b), (b, a)] if node.kind in ("Add", "Mul") else [(a, b)]
    for other, name in ways:
        const = constants.get(name)
        if const is not None and const.size == 1 and const.reshape(-1)[0] == _NEUTRAL[node.kind]:
            return other if other not in constants else ""
    return ""


class _Links:
    """Who reads whom in a graph, with neutral operators left out."""

    def __init__(self, model: OxModel, constants: Mapping[str, Array]) -> None:
        self.model, self.constants = model, constants
        self.source: dict[str, str] = {}
        self.readers: dict[str, list[OxNode]] = {}
        self.producers: dict[str, OxNode] = {}
        self.transposes = 0
        read = {*model.outputs, *(name for node in model.nodes for name in node.inputs)}
        for node in model.nodes:
            if not node.inputs or not node.outputs:
                continue
            # What nobody reads is a reader to the runtime, neutral or not.
            passed = _passed(node, constants) if node.outputs[0] in read else ""
            if passed:
                self.source[node.outputs[0]] = self.named(passed)
                continue
            self.producers |= {name: node for name in node.outputs if name}
            self.transposes += node.kind == "Transpose" and node.inputs[0] not in constants
            for name in {self.named(name) for name in node.inputs if name}:
                self.readers.setdefault(name, []).append(node)
        self.given = {self.named(name) for name in model.outputs}

    def named(self, name: str) -> str:
        """A tensor's name before neutral operators."""
        return self.source.get(name, name)

    def all(self, kind: str) -> list[OxNode]:
        """The operators of a kind, in order."""
        nodes = self.model.nodes
        return [node for node in nodes if node.kind == kind and node.inputs and node.outputs]

    def producer(self, name: str, *kinds: str) -> OxNode | None:
        """The operator that gives a tensor, if it is of one of these kinds."""
        node = self.producers.get(self.named(name))
        return node if node is not None and node.kind in kinds else None

    def only(self, node: OxNode, kind: str) -> OxNode | None:
        """The one reader of a node's output, if it is of that kind and nothing else reads it."""
        name = node.outputs[0]
        found = self.readers.get(name, [])
        one = len(found) == 1 and name not in self.given
        return found[0] if one and found[0].kind == kind else None

    def is_only_reader(self, node: OxNode, reader: OxNode) -> bool:
        """Whether an operator alone reads a node's output."""
        return self.only(node, reader.kind) is reader

    def changed(
        self, nodes: list[OxNode], gone: set[str], made: Mapping[str, Array] | None = None
    ) -> _Links:
        """The graph with some operators in another form, without those that give the tensors
        ``gone`` and what is neutral behind them, and with more constants."""
        new = {node.index: node for node in nodes}
        gone = gone | {name for name, source in self.source.items() if source in gone}
        kept = [new.get(n.index, n) for n in self.model.nodes if gone.isdisjoint(n.outputs)]
        constants = self.model.constants | dict(made or {})
        model = replace(self.model, nodes=tuple(kept), constants=constants)
        return _Links(model, dict(self.constants) | dict(made or {}))

    def pair(self, q: OxNode, dq: OxNode) -> _Pair | None:
        """Two operators as a pair; None where the runtime takes them for none."""
        if len(q.inputs) < 3 or len(dq.inputs) < 3:
            return None
        scales = [self.constants.get(n.inputs[1]) for n in (q, dq)]
        zeros = [self.constants.get(n.inputs[2]) for n in (q, dq)]
        found = [a for a in (*scales, *zeros) if a is not None and a.size == 1]
        if len(found) < 4:
            return None
        s, s2, z, z2 = found
        same = s.reshape(-1)[0] == s2.reshape(-1)[0] and z.reshape(-1)[0] == z2.reshape(-1)[0]
        known = s.dtype == s2.dtype == np.float32 and z.dtype == z2.dtype
        if not same or not known or z.dtype.name not in _TYPES:
            return None
        return _Pair(q, dq, np.float32(s.reshape(-1)[0]), z.reshape(()))


def has_meeting_pairs(model: OxModel) -> bool:
    """Whether a QuantizeLinear may stand behind a DequantizeLinear: what to look for first."""
    dequantized = {out for n in model.nodes if n.kind == "DequantizeLinear" for out in n.outputs}
    passing = ("Identity", "Dropout", "Cast", *_NEUTRAL, *_MOVING)
    for node in model.nodes:
        if dequantized.isdisjoint(node.inputs):
            continue
        if node.kind == "QuantizeLinear":
            return True
        if node.kind in passing:
            dequantized |= set(node.outputs)
    return False


def joined_pairs(model: OxModel, constants: Mapping[str, Array]) -> OxModel:
    """A file's graph with one pair of quantizers where two follow each other.

    Parameters
    ----------
    model : the file; its operators are in order.
    constants : numbers that are known, by name.

    Raises UserError where the two have no numbers in common, or where the runtime moves transposes
    that stand between them.
    """
    runs: dict[str, list[Numbers]] = {}
    links = _joined_once(_Links(model, constants), runs)
    links = _without_transposes(links)
    while (more := _joined_once(links, runs, later=True)) is not links:
        links = more
    for q in links.all("QuantizeLinear"):
        _check_apart(links, q)
    return links.model


def _joined_once(links: _Links, runs: dict[str, list[Numbers]], later: bool = False) -> _Links:
    """One pass of the runtime over a graph, from the first pair on; a pair that it has made is left
    to the next one.

    ``runs`` keeps of each pair, by what it gives, the numbers of the file's pairs that it stands
    for. ``later``: it is not the first pass. Raises UserError where what it gives is not known.
    """
    made: set[str] = set()
    for name in [dq.outputs[0] for dq in links.all("DequantizeLinear")]:
        dq = links.producer(name, "DequantizeLinear")
        behind = links.only(dq, "QuantizeLinear") if dq and name not in made else None
        found = behind and dq and _pairs(links, dq, behind)
        if found and links.is_only_reader(found[0].q, found[0].dq):
            if later:
                _check_no_moves(links, *found)
            links = _joined(links, *found)
            made.add(found[1].dq.outputs[0])
            _count(runs, *found)
    return links


def _check_no_moves(links: _Links, first: _Pair, second: _Pair) -> None:
    """Raises UserError where elements are moved beside pairs that meet after the first pass: the
    runtime has put more pairs there by then, with the numbers of these."""
    kinds = [node.kind for node in links.readers.get(second.dq.outputs[0], [])]
    moves = links.producer(first.q.inputs[0], *_MOVING) or not set(kinds).isdisjoint(_MOVING)
    if moves and not _is_same(first, second):
        raise UserError(
            "three quantizers or more, or two with transposes between them, follow each other "
            "beside a move of elements, which the runtime joins in ways that are not known here",
            layer=second.q.name, hint="leave out one of them",
        )  # fmt: skip


def _count(runs: dict[str, list[Numbers]], first: _Pair, second: _Pair) -> None:
    run = [
        numbers
        for pair in (first, second)
        for numbers in runs.get(pair.dq.outputs[0], [(float(pair.scale), int(pair.zero))])
    ]
    if len(run) > _MOST_IN_A_ROW and 1 < len(set(run)) < len(run):
        raise UserError(
            f"{len(run)} quantizers or more follow each other, some of them equal, which the "
            "runtime joins in an order that is not known here",
            layer=second.q.name, hint="leave out those that equal another one",
        )  # fmt: skip
    runs[second.dq.outputs[0]] = run


def _without_transposes(links: _Links) -> _Links:
    """The graph without two transposes between two pairs that cancel, where there are no others."""
    if links.transposes != 2:
        return links
    for behind in links.all("QuantizeLinear"):
        dq, between = _before(links, behind)
        found = dq and _pairs(links, dq, behind)
        if not found or not _cancel(between):
            continue
        chain = [found[0].q, found[0].dq, *between, behind]
        end = found[1].dq.outputs[0]
        read_once = len(links.readers.get(end, [])) + (end in links.given) == 1
        if read_once and all(links.is_only_reader(*two) for two in pairwise(chain)):
            straight = replace(behind, inputs=(found[0].dq.outputs[0], *behind.inputs[1:]))
            return links.changed([straight], {node.outputs[0] for node in between})
    return links


def _before(links: _Links, behind: OxNode) -> tuple[OxNode | None, list[OxNode]]:
    """The DequantizeLinear that a QuantizeLinear reads through moves of elements, and these."""
    between: list[OxNode] = []
    name = behind.inputs[0]
    while (moves := links.producer(name, *_MOVING)) is not None:
        between.insert(0, moves)
        name = moves.inputs[0]
    return links.producer(name, "DequantizeLinear"), between


def _check_apart(links: _Links, behind: OxNode) -> None:
    """Raises UserError where it depends on how the runtime moves transposes whether a pair and
    this QuantizeLinear meet."""
    dq, between = _before(links, behind)
    turns = [node for node in between if node.kind == "Transpose"]
    found = dq and _pairs(links, dq, behind)
    if found and turns and links.transposes > 1 and not _is_same(*found):
        raise UserError(
            "it stands between two pairs of quantizers of different scales, and the runtime moves "
            "transposes and joins pairs that meet then, in ways that are not known here",
            layer=turns[0].name,
            hint="give both pairs the same scale and zero point, or leave out one of them",
        )


def _pairs(links: _Links, dq: OxNode, behind: OxNode) -> tuple[_Pair, _Pair] | None:
    """The pair that a DequantizeLinear ends, and the one that a QuantizeLinear begins, where both
    are of one type and may become one."""
    q = links.producer(dq.inputs[0], "QuantizeLinear")
    end = links.only(behind, "DequantizeLinear")
    first, second = q and links.pair(q, dq), end and links.pair(behind, end)
    return (first, second) if first and second and first.zero.dtype == second.zero.dtype else None


def _cancel(between: list[OxNode]) -> bool:
    """Whether these are two transposes, of which the second one undoes what the first one does."""
    perms = [node.get("perm") for node in between if node.kind == "Transpose"]
    if len(between) != 2 or len(perms) != 2 or None in perms or len(perms[0]) != len(perms[1]):
        return False
    order = list(range(len(perms[0])))
    return [perms[0][axis] for axis in perms[1]] == order != perms[0]


def _is_same(first: _Pair, second: _Pair) -> bool:
    return bool(first.zero == second.zero and abs(first.scale - second.scale) < 1e-20)


def _joined(links: _Links, first: _Pair, second: _Pair) -> _Links:
    """The graph with one pair in the place of two."""
    start = first.q
    end = replace(second.dq, inputs=(start.outputs[0], *second.dq.inputs[1:]))
    made: dict[str, Array] = {}
    if not _is_same(first, second):
        scale, zero = _common(first, second)
        names = [f"{end.outputs[0]} joined {what}" for what in ("scale", "zero point")]
        made = dict(zip(names, (np.asarray(scale), zero), strict=True))
        start = replace(start, inputs=(start.inputs[0], *names))
        end = replace(end, inputs=(end.inputs[0], *names))
    return links.changed([start, end], {first.dq.outputs[0], second.q.outputs[0]}, made)


def _common(first: _Pair, second: _Pair) -> tuple[np.float32, Array]:
    """Scale and zero point of the numbers that two pairs have in common, in float32 as the runtime
    computes them."""
    limits = np.iinfo(first.zero.dtype)

    def end(pair: _Pair, limit: int) -> np.float32:
        return np.float32(limit - int(pair.zero)) * pair.scale

    low = max(end(first, limits.min), end(second, limits.min))
    high = min(end(first, limits.max), end(second, limits.max))
    if not (low < high and np.isfinite(high - low)):
        raise UserError(
            f"two quantizers follow each other, of scales {first.scale:g} and {second.scale:g}, "
            f"zero points {int(first.zero)} and {int(second.zero)}: they have no numbers in common",
            layer=second.q.name, hint="leave out one of them",
        )  # fmt: skip
    scale = (high - low) / np.float32(limits.max - limits.min)
    zero = np.float32(limits.min) - low / scale
    rounded = np.floor(abs(np.float64(zero)) + 0.5) * np.sign(zero)
    return scale, np.asarray(int(rounded), first.zero.dtype)


def is_beside_quantizer(model: OxModel, name: str) -> bool:
    """Whether a tensor is read by a QuantizeLinear and by another operator."""
    kinds: list[bool] = []
    names = [name]
    while names:
        reading = names.pop()
        for node in model.nodes:
            if reading not in node.inputs:
                continue
            if node.kind in ("Identity", "Dropout"):
                names.append(node.outputs[0])
            else:
                kinds.append(node.kind == "QuantizeLinear")
    return any(kinds) and not all(kinds)
