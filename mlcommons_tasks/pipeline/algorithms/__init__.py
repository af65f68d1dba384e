"""The algorithms by their wire name; one file each. Pure: rows in, model content (bytes) out.

An algorithm is a module with `train(frame, parameters, *, seed, cancelled, progress) -> bytes`, `load(content)` and
`predict(content, frame)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from mlcommons_tasks.errors import IllegalArgument

if TYPE_CHECKING:
    from mlcommons_tasks.data_frame import DataFrame


class Algorithm(Protocol):
    """What every algorithm module offers."""

    def train(
        self,
        frame: DataFrame,
        parameters: Any,
        *,
        seed: int | None = None,
        cancelled: Callable[[], bool] = ...,
        progress: Callable[[int, int], None] = ...,
    ) -> bytes:
        """Return the content of a trained model."""

    def predict(self, content: bytes, frame: DataFrame) -> list[int]:
        """Return one answer a row."""


#: Those we do.
ALGORITHMS = frozenset({"KMEANS"})


def get_algorithm(function_name: str) -> Algorithm:
    """Return the algorithm for a `function_name` in capitals; IllegalArgument for one we do not do."""
    if function_name == "KMEANS":
        from mlcommons_tasks.pipeline.algorithms import kmeans

        return kmeans
    raise IllegalArgument(f"Unsupported algorithm: {function_name}")
