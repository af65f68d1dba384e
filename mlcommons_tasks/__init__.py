"""The task API of the OpenSearch ML Commons plugin, emulated over a real OpenSearch.

What the package offers is imported when it is first asked for, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlcommons_tasks._version import __version__

if TYPE_CHECKING:
    from mlcommons_tasks.app import create_app
    from mlcommons_tasks.config import Settings
    from mlcommons_tasks.server import RunningService, running_service
    from mlcommons_tasks.testing.emulator import Emulator
    from mlcommons_tasks.waiting import TaskFailed, TaskNotFound, TaskTimeout, TaskUnreadable, WaitError, wait_for_task

__all__ = [
    "Emulator",
    "RunningService",
    "Settings",
    "TaskFailed",
    "TaskNotFound",
    "TaskTimeout",
    "TaskUnreadable",
    "WaitError",
    "__version__",
    "create_app",
    "running_service",
    "wait_for_task",
]

_HOMES = {
    "create_app": "mlcommons_tasks.app",
    "Settings": "mlcommons_tasks.config",
    "RunningService": "mlcommons_tasks.server",
    "running_service": "mlcommons_tasks.server",
    "Emulator": "mlcommons_tasks.testing.emulator",
    "TaskFailed": "mlcommons_tasks.waiting",
    "TaskNotFound": "mlcommons_tasks.waiting",
    "TaskTimeout": "mlcommons_tasks.waiting",
    "TaskUnreadable": "mlcommons_tasks.waiting",
    "WaitError": "mlcommons_tasks.waiting",
    "wait_for_task": "mlcommons_tasks.waiting",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
