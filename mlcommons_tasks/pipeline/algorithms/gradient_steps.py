"""How each optimiser moves weights along a gradient. The formulas hold for floats and, given numpy's `sqrt`, arrays.

Source: Tribuo 4.2.1 `SGD`, `AdaGrad`, `AdaDelta`, `Adam`, `RMSProp`, `ShrinkingMatrix`, of which these are the facts:
ADAM multiplies with the root of the second moment; ADA_DELTA knows no learning rate, and neither a batch's share. The
order of operations is theirs as well: some descents are chaotic, and a last bit becomes the first one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: A float, or an array of them.
Numbers = Any
#: Moves weights along their gradients at the rate of the round; the last is how full the batch is. It remembers.
Step = Callable[[list[Numbers], list[Numbers], Numbers, Numbers], None]
Root = Callable[[Numbers], Numbers]
#: Below this a shrunken accumulator is written out.
_SHRUNKEN = 1e-6


@dataclass(frozen=True)
class Optimiser:
    """What `parameters` say of the optimiser, under their names."""

    optimiser: str
    learning_rate: float
    momentum_type: str
    momentum_factor: float
    epsilon: float
    beta1: float
    beta2: float
    decay_rate: float


def rate_of(settings: Optimiser, root: Root) -> Callable[[Numbers], Numbers]:
    """Return the learning rate as a function of the round, from 1."""
    rate, beta1, beta2, decay = settings.learning_rate, settings.beta1, settings.beta2, settings.decay_rate
    if settings.optimiser == "LINEAR_DECAY_SGD":
        return lambda i: rate / i
    if settings.optimiser == "SQRT_DECAY_SGD":
        return lambda i: rate / root(i)
    if settings.optimiser == "ADAM":
        return lambda i: rate * root(1.0 - beta2**i) / (1.0 - beta1**i)
    if settings.optimiser == "RMS_PROP":
        return lambda i: rate / (1 + decay * (i - 1))
    return lambda _i: rate


def step_of(settings: Optimiser, root: Root, count: int) -> Step:
    """Return the step for `count` weights, or arrays of weights, that has none behind it."""
    rho, epsilon = settings.momentum_factor, settings.epsilon
    if settings.optimiser == "ADA_GRAD":
        return _ada_grad(epsilon, root, count)
    if settings.optimiser == "ADA_DELTA":
        return _ada_delta(rho, epsilon, root, count)
    if settings.optimiser == "ADAM":
        return _adam(settings, root, count)
    if settings.optimiser == "RMS_PROP":
        return _rms_prop(rho, epsilon, root, count)
    return _nesterov(rho, count) if settings.momentum_type == "NESTEROV" else _momentum(rho, count)


def _momentum(rho: Numbers, count: int) -> Step:
    moments: list[Numbers] = [0.0] * count

    def step(weights: list[Numbers], gradients: list[Numbers], rate: Numbers, share: Numbers) -> None:
        for i, gradient in enumerate(gradients):
            moments[i] = moment = moments[i] * rho + gradient
            weights[i] += moment * rate * share

    return step


def _nesterov(rho: Numbers, count: int) -> Step:
    moments: list[Numbers] = [0.0] * count

    def step(weights: list[Numbers], gradients: list[Numbers], rate: Numbers, share: Numbers) -> None:
        for i, gradient in enumerate(gradients):
            moments[i] = moment = moments[i] * rho + gradient
            weights[i] += gradient * (share * rate) + moment * rate * share * rho

    return step


def _ada_grad(epsilon: Numbers, root: Root, count: int) -> Step:
    squares: list[Numbers] = [0.0] * count

    def step(weights: list[Numbers], gradients: list[Numbers], rate: Numbers, share: Numbers) -> None:
        pace, part = share * rate, share * share
        for i, gradient in enumerate(gradients):
            squares[i] = square = squares[i] + part * gradient * gradient
            weights[i] += gradient * (pace / (epsilon + root(square)))

    return step


def _ada_delta(rho: Numbers, epsilon: Numbers, root: Root, count: int) -> Step:
    squares: list[Numbers] = [0.0] * count
    velocities: list[Numbers] = [0.0] * count
    rest = 1.0 - rho

    def step(weights: list[Numbers], gradients: list[Numbers], _rate: Numbers, _share: Numbers) -> None:
        for i, gradient in enumerate(gradients):
            squares[i] = square = squares[i] * rho + gradient * gradient * rest
            change = gradient * root(velocities[i] + epsilon) * (1.0 / root(square + epsilon))
            velocities[i] = velocities[i] * rho + change * change * rest
            weights[i] += change

    return step


def _adam(settings: Optimiser, root: Root, count: int) -> Step:
    firsts: list[Numbers] = [0.0] * count
    seconds: list[Numbers] = [0.0] * count
    beta1, beta2, epsilon = settings.beta1, settings.beta2, settings.epsilon
    rest1, rest2 = 1.0 - beta1, 1.0 - beta2

    def step(weights: list[Numbers], gradients: list[Numbers], rate: Numbers, _share: Numbers) -> None:
        for i, gradient in enumerate(gradients):
            firsts[i] = first = firsts[i] * beta1 + gradient * rest1
            seconds[i] = second = seconds[i] * beta2 + gradient * gradient * rest2
            weights[i] += first * rate * (root(second) + epsilon)

    return step


def _rms_prop(rho: Numbers, epsilon: Numbers, root: Root, count: int) -> Step:
    squares: list[Numbers] = [0.0] * count  # each to be multiplied with:
    scale: Numbers = 1.0
    rest = 1.0 - rho
    shrinkage = 1.0 - rest

    def step(weights: list[Numbers], gradients: list[Numbers], rate: Numbers, share: Numbers) -> None:
        nonlocal scale
        scale = scale * shrinkage
        if abs(scale) < _SHRUNKEN:
            squares[:] = [square * scale for square in squares]
            scale = 1.0
        pace = share * rate
        for i, gradient in enumerate(gradients):
            squares[i] = square = (squares[i] * scale + rest * gradient * gradient) / scale
            weights[i] += gradient * (pace / (epsilon + root(square * scale)))

    return step
