"""One namespace of a service with all that controls it: what a test has for itself."""

from __future__ import annotations

import functools
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcommons_tasks.testing.clock import Clock
from mlcommons_tasks.testing.control import Control, EmulatorError
from mlcommons_tasks.testing.faults import Faults
from mlcommons_tasks.testing.journal import Journal, told_miss
from mlcommons_tasks.testing.scenarios import Scenarios

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

_LONGEST_STEM = 48
_NOT_OURS = (400, 404, 405)  #: what an OpenSearch, or a web server, answers to a path that it does not know


class Namespace:
    """A namespace of the service at `url`: tasks, models, scenarios, faults, journal and clock of its own.

    Attributes:
        scenario: call it to say what tasks do, `namespace.scenario("slow", seconds=30)`.
        fault: call it to have requests fail, `namespace.fault(status=503, first=1)`.
        clock: its time.
        journal: its requests.
    """

    def __init__(self, url: str, name: str | None = None, token: str | None = None) -> None:
        """Know a namespace by its name; without one it is the service's main one."""
        self._control = Control(url, name, token)
        self.name = name or "main"
        self.scenario = Scenarios(self._control)
        self.fault = Faults(self._control)
        self.clock = Clock(self._control)
        self.journal = Journal(self._control)

    @property
    def url(self) -> str:
        """The address for a client: every request to it belongs to the namespace."""
        return self._control.url

    @functools.cached_property
    def client(self) -> OpenSearch:
        """A client of opensearch-py, as it is by default: it repeats a read that got 502, 503 or 504 three times."""
        from opensearchpy import OpenSearch

        return OpenSearch(self.url)

    def task(
        self,
        task_type: str,
        function_name: str,
        *,
        scenario: str | Mapping[str, Any] | None = None,
        model_id: str | None = None,
    ) -> str:
        """Make a task of any type that only plays, and return its id.

        `scenario` is the name of one that is set, or a whole one; without it the first that matches is played.

        Raises:
            EmulatorError: the service finds it wrong; the message names the field.
        """
        body = {"task_type": task_type, "function_name": function_name, "scenario": scenario, "model_id": model_id}
        given = {key: value for key, value in body.items() if value is not None}
        return str(self._control.post("tasks", body=given)["task_id"])

    def load(self, file: Path | Mapping[str, Any]) -> None:
        """Set the scenarios and faults of a scenario file.

        Raises:
            EmulatorError: the service finds it wrong; the message names the field.
        """
        self._control.post("scenarios", body=json.loads(file.read_bytes()) if isinstance(file, Path) else file)

    def seed_ids(self, seed: int | None) -> None:
        """Have the ids of tasks and models follow from a number; None makes them random again."""
        if seed is None:
            self._control.delete("ids")
        else:
            self._control.put("ids", body={"seed": seed})

    def info(self) -> dict[str, Any]:
        """Return what the service says of itself.

        Raises:
            EmulatorError: nothing answers there, or something else does.
        """
        nobody = f"{self._control.service_url} is no service of mlcommons-tasks with an emulator"
        hint = (
            "give the URL that `mlcommons-tasks serve` prints, not that of the OpenSearch under it,"
            " and start it with --emulator"
        )
        try:
            info = self._control.get()
        except EmulatorError as error:
            if error.status not in _NOT_OURS:
                raise
            raise EmulatorError(f"{nobody}: {hint} ({error})", error.status) from error
        if not isinstance(info, dict) or "namespace" not in info:
            raise EmulatorError(f"{nobody}: {hint}")
        return info

    def told(self) -> str:
        """Return for people what was asked here last, and what was set and never matched."""
        misses = [told_miss(miss) for miss in self.journal.misses()]
        return "\n".join([self.journal.told(), *misses])

    def reset(self) -> None:
        """Leave nothing of scenarios, faults, clock, journal, and of the tasks and models that were made here."""
        self._control.post("_reset")

    def delete(self) -> None:
        """Delete the namespace with all that is in it."""
        self._control.delete("namespaces", self.name)

    def close(self) -> None:
        """Close the connections; the namespace stays as it is."""
        client = self.__dict__.pop("client", None)
        if client is not None:
            client.close()
        self._control.close()

    def discard(self) -> None:
        """Delete the namespace and close the connections; a service that is gone is no error."""
        try:
            self.delete()
        except EmulatorError as error:
            if error.status is not None:
                raise
        finally:
            self.close()


def name_for(title: str) -> str:
    """Return a name for a namespace that nobody else has, and that shows whose it is."""
    stem = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[-_LONGEST_STEM:].strip("-")
    return f"{stem or 'test'}-{secrets.token_hex(4)}"
