"""Drain: finished accumulators wait in a FIFO and leave through shared requantizers.

While a MAC array accumulates the next results, a word of ``word`` accumulators is taken apart,
``lanes`` at a time, requantized and put into the output FIFO.
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...numeric.division import ceil_div
from ..common.counter import Counter, index_shape
from ..common.fifo import CreditFifo
from ..common.requantizer import Requantizer, RequantParameters
from ..common.streams import connect, element, positive, stream_of


class Drain(wiring.Component):
    """Shadow FIFO, serializer, requantizers, output FIFO.

    Parameters
    ----------
    name : prefix of image names.
    acc : shape of an accumulator; pe : accumulators of one pixel in a word; pixels : in a word.
    lanes : requantizers; they divide ``pe``, or ``pe`` covers all channels.
    parameters : of the requantizers.
    row_pixels : output pixels in a row; the last word of a row may hold fewer than ``pixels``.
    shadow, fifo : entries of the two FIFOs.

    Members
    -------
    take, room, push, acc : the shadow FIFO's input side, see CreditFifo. o (out stream).
    shadow_level, level (out): entries stored in the shadow and in the output FIFO.

    With P folds (channels / pe) a pixel's words come in channel order. A word pushed in t gives
    its first beat to the requantizers in t+1 and to the output FIFO ``parameters.latency`` later;
    one beat a cycle.
    """

    def __init__(
        self,
        name: str,
        acc: Shape,
        pe: int,
        pixels: int,
        lanes: int,
        parameters: RequantParameters,
        row_pixels: int,
        shadow: int,
        fifo: int,
    ) -> None:
        positive(pe=pe, pixels=pixels, lanes=lanes, row_pixels=row_pixels)
        positive(shadow=shadow, fifo=fifo)
        channels = parameters.channels
        if pixels > 1 and pe < channels:
            raise ValueError("several pixels at a time need a PE for every channel")
        if pe < channels and pe % lanes:
            raise ValueError(f"{lanes} requantizers do not divide {pe} PEs")
        self.name, self.acc_shape, self.pe, self.pixels = name, acc, pe, pixels
        self.lanes, self.parameters, self.row_pixels = lanes, parameters, row_pixels
        self.shadow, self.fifo = shadow, fifo
        super().__init__(
            {
                "take": In(1),
                "room": Out(1),
                "push": In(1),
                "acc": In(data.ArrayLayout(acc, pe * pixels)),
                "o": Out(stream_of(element(parameters.out), lanes)),
                "shadow_level": Out(index_shape(shadow + 1)),
                "level": Out(index_shape(fifo + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word = data.ArrayLayout(self.acc_shape, self.pe * self.pixels)
        m.submodules.shadow = shadow = CreditFifo(word, self.shadow)
        m.submodules.requantizer = requantizer = Requantizer(
            f"{self.name}_requant", self.acc_shape, self.lanes, self.parameters
        )
        m.submodules.fifo = fifo = CreditFifo(self.o.payload.shape(), self.fifo)
        connect(m, fifo.o, wiring.flipped(self.o))
        m.d.comb += [
            shadow.take.eq(self.take),
            self.room.eq(shadow.room),
            shadow.push.eq(self.push),
            shadow.data.eq(self.acc),
            self.shadow_level.eq(shadow.level),
            self.level.eq(fifo.level),
        ]
        issue = Signal(name="issue")
        m.d.comb += [issue.eq(shadow.o.valid & fifo.room), fifo.take.eq(issue)]
        index, part, pixel = self._count(m, issue, shadow.o.ready)
        m.d.comb += [
            requantizer.valid.eq(issue),
            requantizer.index.eq(index),
            requantizer.acc.eq(self._select(shadow.o.payload, part, pixel)),
            fifo.push.eq(requantizer.o_valid),
            fifo.data.eq(requantizer.o),
        ]
        return m

    def _count(self, m: Module, issue: Value, word_done: Value) -> tuple[Value, Value, Value]:
        """Beat of the pixel, beat of the word, pixel of the word."""
        beats = ceil_div(self.parameters.channels, self.lanes)
        word_beats = ceil_div(min(self.pe, self.parameters.channels), self.lanes)
        index = Counter(beats, "index")
        part = Counter(word_beats, "part")
        pixel = Counter(self.pixels, "pixel")
        column = Counter(self.row_pixels, "column")
        part_done = part.last | index.last
        with m.If(issue):
            index.step(m)
            part.step(m)
            with m.If(part_done):
                part.restart(m)
            if self.pixels > 1:
                with m.If(index.last):
                    pixel.step(m)
                    column.step(m)
                    with m.If(column.last):
                        pixel.restart(m)
        pixel_done: Value = Const(1)
        if self.pixels > 1:
            pixel_done = index.last & (pixel.last | column.last)
        m.d.comb += word_done.eq(issue & part_done & pixel_done)
        return index.value, part.value, pixel.value

    def _select(self, word, part: Value, pixel: Value) -> Value:
        """The ``lanes`` accumulators of this beat; lanes beyond the channels repeat the last."""
        choices = []
        word_beats = ceil_div(min(self.pe, self.parameters.channels), self.lanes)
        for p in range(self.pixels):
            for b in range(word_beats):
                lanes = [
                    word[p * self.pe + min(b * self.lanes + lane, self.pe - 1)]
                    for lane in range(self.lanes)
                ]
                choices.append(Cat(*(Value.cast(lane) for lane in lanes)))
        if len(choices) == 1:
            return choices[0]
        position = part if self.pixels == 1 else pixel * word_beats + part
        return Array(choices)[position]
