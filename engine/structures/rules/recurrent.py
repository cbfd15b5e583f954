"""Recurrent layers as one operator (LSTM on CPU); other spellings decompose into products and gates."""

from math import prod

import numpy as np

from .. import reasons
from ..analysis import Kind
from .context import Context


def lstm_layer(context: Context) -> None:
    """One layer, one direction: input [T, N, I], weights [4 H, I] and [4 H, H], states [N, H] -> [T, N, H], states.

    A unit has one row in each of the four gates, its column in the recurrent weight, and its states.
    """
    *steps, features = context.of("input")
    rows, reads = context.of("weight0")
    gates, units = context.of("weight1")
    context.meet([features, reads], reasons.model_input(context.call.op))
    four = None if units is None else np.tile(units, GATES["LSTM"])
    biases = [context.of(n)[0] for n in ("weight2", "weight3") if context.value(n) is not None]
    context.meet([four, rows, gates, *biases])
    for state in ("hx_", "cx_"):
        units = context.meet([units, context.of(state)[-1]])
    for name, read in (("weight0", features), ("weight1", units)):
        context.cost(rows, read, macs=prod(context.shape("input")[:-1]) * prod(context.shape(name)))
    context.give([*steps, units])
    for number in (1, 2):
        context.give([*[None] * (len(context.out_shape(number)) - 1), units], number)
    context.give_untracked(3)


def tie_units(context: Context) -> None:
    """What a unit of torch's own recurrent layers and cells is, in whichever operators they ran.

    The recurrent weight reads as many units as it has rows for, even where the only state that it ever saw was zero.
    """
    names = {path: name for path, name, _, _ in context.record.modules}
    for source in context.record.sources:
        leaf = source.name.rpartition(".")[2]
        if names.get(source.module) not in CLASSES or not leaf.startswith("weight_") or len(source.shape) != 2:
            continue
        rows, columns = context.dims[source.value]
        if rows is None:
            continue
        if leaf.startswith("weight_hr") and columns is not None and len(rows) < len(columns):
            least = len(rows) + 1
            context.labels.count_least(columns, least, reasons.projected(least), source.module)
        if leaf.startswith("weight_ih"):
            context.producers.append((Kind.UNIT, rows))
        gates = GATES.get(names[source.module].removesuffix("Cell"), 1)
        if leaf.startswith("weight_hh") and columns is not None and len(columns) * gates == len(rows):
            context.labels.tie(columns, rows[: len(columns)])


GATES = {"LSTM": 4, "GRU": 3}
"""Rows of a recurrent weight for each unit, 1 for a plain RNN."""
CLASSES = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
RULES = {"aten.mkldnn_rnn_layer": lstm_layer}
