"""What tests of other people use: a service for a test run, a namespace for a test, and what controls them.

Everything here speaks to a running service over HTTP; nothing here is part of one.
"""

from mlcommons_tasks.testing.clock import Clock, SleptTooLong
from mlcommons_tasks.testing.control import EmulatorError
from mlcommons_tasks.testing.emulator import Emulator
from mlcommons_tasks.testing.faults import Fault, Faults
from mlcommons_tasks.testing.journal import Journal
from mlcommons_tasks.testing.namespace import Namespace
from mlcommons_tasks.testing.process import CannotStart, Service
from mlcommons_tasks.testing.scenarios import Scenario, Scenarios

__all__ = [
    "CannotStart",
    "Clock",
    "Emulator",
    "EmulatorError",
    "Fault",
    "Faults",
    "Journal",
    "Namespace",
    "Scenario",
    "Scenarios",
    "Service",
    "SleptTooLong",
]
