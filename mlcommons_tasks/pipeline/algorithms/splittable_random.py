"""Java's SplittableRandom as far as Tribuo shuffles examples with it: a seed, a split and the swaps of a shuffle.

Source: OpenJDK 25 `java.util.SplittableRandom`, `RandomSupport.boundedNextInt`; Tribuo 4.2.1
`AbstractSGDTrainer.shuffleInPlace`. Each number is a function of its place in the sequence, so numpy draws many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MASK = 2**64 - 1
_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
#: Numbers drawn at a time; a rejected one costs drawing the rest of them again.
_DRAWS = 16_384


class SplittableRandom:
    """The sequence of numbers that a seed gives in Java."""

    def __init__(self, seed: int, gamma: int = _GOLDEN_GAMMA) -> None:
        self._seed = seed & _MASK
        self._gamma = gamma

    def split(self) -> SplittableRandom:
        """Return another sequence, and go two numbers on in this one."""
        seed, gamma = _mixed(self._next_seed()), _mixed_gamma(self._next_seed())
        return SplittableRandom(seed, gamma)

    def swaps(self, size: int) -> list[int]:
        """Return `nextInt(i)` for each i from `size` down to 2: with whom a shuffle swaps the last of i examples."""
        import numpy as np

        found: list[int] = []
        while len(found) < size - 1:
            high = size - len(found)
            bounds = np.arange(high, max(1, high - _DRAWS), -1, dtype=np.uint64)
            drawn, rejected = _bounded(self._draw(len(bounds)), bounds)
            good = int(rejected.argmax()) if rejected.any() else len(bounds)
            found += drawn[:good].tolist()
            used = min(good + 1, len(bounds))
            self._seed = (self._seed + self._gamma * used) & _MASK
        return found

    def _next_seed(self) -> int:
        self._seed = (self._seed + self._gamma) & _MASK
        return self._seed

    def _draw(self, count: int) -> NDArray[np.uint64]:
        """Return the next 32 bits of each of the next `count` numbers, without going on."""
        import numpy as np

        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(self._gamma) + np.uint64(self._seed)
        z = (z ^ (z >> np.uint64(33))) * np.uint64(0x62A9D9ED799705F5)
        return ((z ^ (z >> np.uint64(28))) * np.uint64(0xCB24D0A5C88C35B3)) >> np.uint64(32)


def _bounded(drawn: NDArray[np.uint64], bounds: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return numbers below their bounds, and which of them Java would throw away for they were of an odd rest."""
    import numpy as np

    one = np.uint64(1)
    top = bounds - one
    powers = (bounds & top) == 0
    half = drawn >> one
    rest = half % bounds
    return np.where(powers, drawn & top, rest), ~powers & (half + top - rest >= np.uint64(2**31))


def _mixed(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def _mixed_gamma(z: int) -> int:
    z = ((z ^ (z >> 33)) * 0xFF51AFD7ED558CCD) & _MASK
    z = ((z ^ (z >> 33)) * 0xC4CEB9FE1A85EC53) & _MASK
    z = (z ^ (z >> 33)) | 1
    return z if bin(z ^ (z >> 1)).count("1") >= 24 else z ^ 0xAAAAAAAAAAAAAAAA
