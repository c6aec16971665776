"""Decoders that compute the same may list their hidden units in another order: the order that brings two together.

A decoder is a list of layers (weight (out, in), bias (out,)). Exchanging hidden units changes nothing that it computes;
with sines neither does turning the sign of one, sin being odd.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

Layer = tuple[Float[np.ndarray, "_ _"], Float[np.ndarray, " _"]]  # (out, in) and (out,), another for each layer
SWEEPS = 30  # at most; a sweep that changes nothing ends them earlier


def layers_of(vector: Float[np.ndarray, " n"], sizes: Sequence[int]) -> list[Layer]:
    """The layers of a weight vector, with ``sizes`` from the inputs to the output; ValueError if it does not fit."""
    layers, begin = [], 0
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
        middle, end = begin + fan_in * fan_out, begin + (fan_in + 1) * fan_out
        layers.append((vector[begin:middle].reshape(fan_out, fan_in), vector[middle:end]))
        begin = end
    if begin != len(vector):
        raise ValueError(f"a vector of {len(vector)} numbers for a decoder of {begin}")
    return layers


def vector_of(layers: Sequence[Layer]) -> Float[np.ndarray, " n"]:
    """The weight vector of layers."""
    return np.concatenate([part.ravel() for layer in layers for part in layer])


def reordered(layers: Sequence[Layer], orders: Sequence[np.ndarray], signs: Sequence[np.ndarray]) -> list[Layer]:
    """The same function with the units of each hidden layer in another order, and with other signs."""
    inputs, found = None, []
    for number, (weight, bias) in enumerate(layers):
        if inputs is not None:
            weight = weight[:, inputs[0]] * inputs[1]
        if number < len(orders):
            order, sign = inputs = orders[number], signs[number]
            weight, bias = weight[order] * sign[:, None], bias[order] * sign
        found.append((weight, bias))
    return found


def shuffled(layers: Sequence[Layer], random: np.random.Generator, *, odd: bool = False) -> list[Layer]:
    """The same function with its hidden units in a random order, and for ``odd`` activations with random signs."""
    hidden = [len(bias) for _, bias in layers[:-1]]
    signs = [random.choice([-1.0, 1.0], n) if odd else np.ones(n) for n in hidden]
    return reordered(layers, [random.permutation(n) for n in hidden], signs)


def align(layers: Sequence[Layer], reference: Sequence[Layer], *, odd: bool = False) -> list[Layer]:
    """The layers with their hidden units in the order, and for ``odd`` activations the signs, nearest to a reference.

    Weight matching (Ainsworth 2023, algorithm 1): layer after layer the linear assignment that brings the weights
    into and out of its units nearest, the other layers as they are, until nothing changes. Nearer it always gets;
    the nearest of all orders it need not find.
    """
    hidden = [len(bias) for _, bias in layers[:-1]]
    orders, signs = [np.arange(n) for n in hidden], [np.ones(n) for n in hidden]
    for _ in range(SWEEPS):
        before = [part.copy() for part in (*orders, *signs)]
        for number in range(len(hidden)):
            orders[number], signs[number] = np.arange(hidden[number]), np.ones(hidden[number])
            alike = _likeness(reordered(layers, orders, signs), reference, number)
            orders[number] = linear_sum_assignment(np.abs(alike) if odd else alike, maximize=True)[1]
            if odd:
                signs[number] = np.where(alike[np.arange(hidden[number]), orders[number]] < 0, -1.0, 1.0)
        if all(np.array_equal(a, b) for a, b in zip(before, [*orders, *signs], strict=True)):
            break
    return reordered(layers, orders, signs)


def _likeness(layers: Sequence[Layer], reference: Sequence[Layer], number: int) -> Float[np.ndarray, "n n"]:
    """The inner product of what enters and leaves every unit of the reference with that of every unit of the layers."""
    (weight, bias), (target, target_bias) = layers[number], reference[number]
    leaving, target_leaving = layers[number + 1][0], reference[number + 1][0]
    return target @ weight.T + np.outer(target_bias, bias) + target_leaving.T @ leaving
