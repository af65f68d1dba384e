"""What `_execute` runs: at once, in the request's own thread, and without a task of ML Commons.

Source: ml-commons 3.6.0 `MLTaskRunner.dispatchTask`, `MLExecuteTaskRunner`, `MLEngine.execute`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.execution.localization import Localizer
from mlcommons_tasks.pipeline.sample_calculator import calculate
from mlcommons_tasks.wire.execute_input import (
    ANOMALY_LOCALIZATION,
    SAMPLE_CALCULATOR,
    ExecuteInput,
    Localization,
    SampleCalculation,
)

#: What is done here as the plugin does it; METRICS_CORRELATION is only answered for as where it is switched off.
EMULATED = frozenset({SAMPLE_CALCULATOR, ANOMALY_LOCALIZATION})


class Execution:
    """Runs one algorithm; `next_worker_node` says where, or why nowhere."""

    def __init__(self, localizer: Localizer, next_worker_node: Callable[[], str]) -> None:
        self._localizer = localizer
        self._next_worker_node = next_worker_node

    def refuse_unreadable(self, body: bytes, caller: Mapping[str, str]) -> None:
        """Have OpenSearch look at a search body without running it; see `AggregationIndex`."""
        self._localizer.refuse_unreadable(body, caller)

    def execute(self, wanted: ExecuteInput, caller: Mapping[str, str]) -> dict[str, Any]:
        """Return the output of an algorithm as it is rendered; `caller` are the headers that say who asks.

        Raises:
            TaskPluginError: nothing may run now, the algorithm is switched off, or it failed; the plugin's words.
        """
        self._next_worker_node()
        if isinstance(wanted, SampleCalculation):
            return {"result": calculate(wanted.operation, wanted.numbers)}
        if isinstance(wanted, Localization):
            return self._localizer.localize(wanted, caller)
        raise IllegalArgument("This algorithm is not enabled from settings")
