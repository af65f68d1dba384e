"""`/_emulator/requests` and `/_emulator/audit`: what was asked in a namespace, and how its clients poll."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from flask import Blueprint, Response, request

from mlcommons_tasks._version import __version__
from mlcommons_tasks.emulation.audit import audit
from mlcommons_tasks.emulation.entries import Entry
from mlcommons_tasks.emulation.har import har
from mlcommons_tasks.emulation.journal import MOST_ENTRIES, PARAMETERS, Journal, Wanted, miss, miss_of_fault
from mlcommons_tasks.emulation.matching import Created, differences
from mlcommons_tasks.emulation.shared_journal import SharedJournal
from mlcommons_tasks.emulation.stage import Stage
from mlcommons_tasks.emulation.state import KnownScenario
from mlcommons_tasks.rest.exchange import RestRequest, reply
from mlcommons_tasks.task import TaskType

AnyJournal = Journal | SharedJournal

_TRAINING = re.compile(r"/_plugins/_ml/_train/([^/]+)/?")


def add_journal_routes(routes: Blueprint, prefix: str, stage: Stage, journal: AnyJournal) -> None:
    """Add the routes of one namespace's journal."""

    def entries() -> list[Entry]:
        RestRequest.current().finish()
        return journal.entries(stage.namespace)

    @routes.get(f"{prefix}/requests")
    def find_requests() -> Response:
        wanted = _wanted()
        found = journal.find(stage.namespace, dataclasses.replace(wanted, limit=MOST_ENTRIES))
        newest = found[max(0, len(found) - wanted.limit) :]
        return reply({"total": len(found), "requests": [entry.to_document() for entry in newest]})

    @routes.get(f"{prefix}/requests/_count")
    def count_requests() -> Response:
        return reply({"count": journal.count(stage.namespace, _wanted())})

    @routes.get(f"{prefix}/requests/_misses")
    def misses() -> Response:
        found, state = entries(), stage.state
        missed = [miss_of_scenario(known, found) for known in state.scenarios if not known.matched]
        missed += [miss_of_fault(known.fault, found) for known in state.faults if not known.counts.seen]
        return reply({"misses": missed})

    @routes.get(f"{prefix}/requests/_har")
    def as_har() -> Response:
        return reply(har(entries(), __version__, scheme=request.scheme))

    @routes.delete(f"{prefix}/requests")
    def forget_requests() -> Response:
        RestRequest.current().finish()
        journal.clear(stage.namespace)
        return reply({"acknowledged": True})

    @routes.get(f"{prefix}/audit")
    def audit_polls() -> Response:
        return reply(audit(entries()).to_document())


def miss_of_scenario(known: KnownScenario, entries: list[Entry]) -> dict[str, Any]:
    """Return how close the requests that create tasks came to a scenario that none of them matched."""
    created = {id(entry): made for entry in entries if (made := created_by(entry)) is not None}
    wanted = known.scenario.match
    makers = [entry for entry in entries if id(entry) in created]
    return miss("scenario", known.scenario.name, makers, lambda entry: differences(wanted, created[id(entry)]))


def created_by(entry: Entry) -> Created | None:
    """Return what a request says of the task that it creates, None if it creates none."""
    training = _TRAINING.fullmatch(entry.path)
    if entry.method != "POST" or training is None or "async" not in entry.target.partition("?")[2]:
        return None
    indices: tuple[str, ...] = ()
    try:
        named = json.loads(entry.request_body).get("input_index", ())
        indices = (named,) if isinstance(named, str) else tuple(each for each in named if isinstance(each, str))
    except (ValueError, AttributeError, TypeError):
        indices = ()  # the body is no JSON, or longer than what is kept of it
    return Created(TaskType.TRAINING.value, training[1].upper(), indices, None, entry.opaque_id)


def _wanted() -> Wanted:
    rest = RestRequest.current()
    given = {name: rest.parameters.text(name) for name in PARAMETERS}
    rest.finish()
    return Wanted.of({name: value for name, value in given.items() if value is not None})
