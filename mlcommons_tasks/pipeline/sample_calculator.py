"""LOCAL_SAMPLE_CALCULATOR: the sum, the largest or the smallest of some numbers, to the bit what Java makes of them.

Source: ml-commons 3.6.0 `LocalSampleCalculator`; Java's `DoubleStream.sum`, which carries what rounding loses, and
`Double.compareTo`, for which -0.0 is less than 0.0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlcommons_tasks.errors import IllegalArgument


def calculate(operation: str, numbers: Sequence[float]) -> float:
    """Return the result of `sum`, `max` or `min` over one number at least.

    Raises:
        IllegalArgument: the operation is none of these.
    """
    if operation == "sum":
        return _compensated_sum(numbers)
    if operation == "max":
        return max(numbers, key=_order)
    if operation == "min":
        return min(numbers, key=_order)
    raise IllegalArgument("can't support this operation")


def _compensated_sum(numbers: Sequence[float]) -> float:
    total = lost = simple = 0.0
    for number in numbers:
        carried = number - lost
        raised = total + carried
        lost = (raised - total) - carried
        total = raised
        simple += number
    result = total - lost
    return simple if math.isnan(result) and math.isinf(simple) else result


def _order(number: float) -> tuple[float, float]:
    return number, math.copysign(1.0, number)
