"""`/_emulator`: scenarios, faults, the clock, ids, tasks that are played, namespaces and resets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec
from flask import Blueprint, Response, request

from mlcommons_tasks._version import __version__
from mlcommons_tasks.clock import ClockState
from mlcommons_tasks.emulation.faults import Fault
from mlcommons_tasks.emulation.presets import presets
from mlcommons_tasks.emulation.scenario_files import scenario_schema
from mlcommons_tasks.emulation.scenarios import read_told
from mlcommons_tasks.emulation.shelf import Shelf
from mlcommons_tasks.emulation.stage import Stage
from mlcommons_tasks.errors import IllegalArgument, TaskPluginError
from mlcommons_tasks.rest.emulator_bodies import LATEST, Advance, NewTask, Seed, StopAt
from mlcommons_tasks.rest.emulator_guard import NAMESPACE_HEADER, PREFIX, TOKEN_HEADER, Guard
from mlcommons_tasks.rest.emulator_journal import AnyJournal, add_journal_routes
from mlcommons_tasks.rest.emulator_openapi import document, listed
from mlcommons_tasks.rest.exchange import RestRequest, reply
from mlcommons_tasks.rest.routing import EVERY_METHOD
from mlcommons_tasks.task import TaskState
from mlcommons_tasks.wire.time_value import parse_time_value
from mlcommons_tasks.wire.typed_json import decode

NAME = "emulator"
NANOS_PER_MILLI = 1_000_000

Told = TypeVar("Told", bound=msgspec.Struct)


class Namespaces(Protocol):
    """What is asked of all namespaces together."""

    def names(self) -> list[str]:
        """Return every namespace that there is."""

    def reset(self, name: str) -> None:
        """Leave nothing in one that the emulator made."""

    def delete(self, name: str) -> None:
        """Have one no more."""


class UnknownCall(TaskPluginError):
    """404: there is nothing of the emulator's at a path, or not by this method."""

    status = 404
    type = "resource_not_found_exception"


def emulator_blueprint(stage: Stage, namespaces: Namespaces, journal: AnyJournal, guard: Guard) -> Blueprint:
    """Return the routes by which one namespace is directed."""
    routes = Blueprint(NAME, __name__)

    @routes.before_request
    def let_in() -> None:
        guard.check(dict(request.headers))
        stage.follow()  # another replica may have moved the time

    def done(body: Any = None) -> Response:
        RestRequest.current().finish(*(request.view_args or {}))
        return reply({"acknowledged": True} if body is None else body)

    @routes.get(PREFIX)
    def info() -> Response:
        return done(
            {
                "name": "mlcommons-tasks",
                "version": __version__,
                "namespace": stage.namespace,
                "namespace_header": NAMESPACE_HEADER,
                "token_header": TOKEN_HEADER,
                "openapi": f"{PREFIX}/openapi.json",
                "calls": listed(),
            }
        )

    @routes.get(f"{PREFIX}/health")
    def health() -> Response:
        _ = stage.state  # which raises where it cannot be read
        return done({"status": "ok", "namespace": stage.namespace})

    @routes.get(f"{PREFIX}/openapi.json")
    def openapi() -> Response:
        return done(document())

    @routes.get(f"{PREFIX}/schema/scenarios.json")
    def schema() -> Response:
        return done(scenario_schema())

    @routes.get(f"{PREFIX}/presets")
    def list_presets() -> Response:
        return done({"presets": presets()})

    _scenarios(routes, stage, done)
    _faults(routes, stage, done)
    _clock(routes, stage, done)
    _tasks(routes, stage, done)
    add_journal_routes(routes, PREFIX, stage, journal)

    @routes.get(f"{PREFIX}/namespaces")
    def list_namespaces() -> Response:
        return done({"namespaces": [{"name": name} for name in namespaces.names()]})

    @routes.delete(f"{PREFIX}/namespaces/<segment:namespace>")
    def delete_namespace(namespace: str) -> Response:
        RestRequest.current().finish("namespace")
        namespaces.delete(namespace)
        return done()

    @routes.post(f"{PREFIX}/_reset")
    def reset() -> Response:
        rest = RestRequest.current()
        of_all = rest.parameters.boolean("all")
        rest.finish()
        for name in namespaces.names() if of_all else [stage.namespace]:
            namespaces.reset(name)
        return done()

    @routes.route(f"{PREFIX}/<path:call>", methods=EVERY_METHOD)
    def unknown(call: str) -> Response:
        raise UnknownCall(
            f"the emulator has no [{request.method} {PREFIX}/{call}]; GET {PREFIX}/openapi.json lists all"
        )

    return routes


Done = Callable[..., Response]


def _told_by_name(
    routes: Blueprint, kind: str, shelf: Shelf[Any], done: Done, reset: Callable[[str], Response]
) -> None:
    """Add what scenarios and faults have in common: they are listed, shown, deleted and reset, each by its name."""
    path = f"{PREFIX}/{kind}s"

    def list_all() -> Response:
        return done({f"{kind}s": [known.shown() for known in shelf.all()]})

    def delete_all() -> Response:
        RestRequest.current().finish()
        shelf.remove(None)
        return done()

    def get(**named: str) -> Response:
        return done(shelf.get(named[kind]).shown())

    def delete(**named: str) -> Response:
        RestRequest.current().finish(kind)
        shelf.remove(named[kind])
        return done()

    def reset_one(**named: str) -> Response:
        RestRequest.current().finish(kind)
        return reset(named[kind])

    one = f"{path}/<segment:{kind}>"
    routes.add_url_rule(path, f"list_{kind}s", list_all, methods=["GET"])
    routes.add_url_rule(path, f"delete_{kind}s", delete_all, methods=["DELETE"])
    routes.add_url_rule(one, f"get_{kind}", get, methods=["GET"])
    routes.add_url_rule(one, f"delete_{kind}", delete, methods=["DELETE"])
    routes.add_url_rule(f"{one}/_reset", f"reset_{kind}", reset_one, methods=["POST"])


def _scenarios(routes: Blueprint, stage: Stage, done: Done) -> None:
    @routes.post(f"{PREFIX}/scenarios")
    def add_scenarios() -> Response:
        RestRequest.current().finish()
        told = read_told(_body())
        stage.add(told.scenarios, told.faults)
        return done(
            {"scenarios": [each.name for each in told.scenarios], "faults": [each.name for each in told.faults]}
        )

    _told_by_name(
        routes, "scenario", stage.scenarios, done, lambda name: done({"deleted_tasks": stage.reset_scenario(name)})
    )


def _faults(routes: Blueprint, stage: Stage, done: Done) -> None:
    @routes.post(f"{PREFIX}/faults")
    def add_fault() -> Response:
        RestRequest.current().finish()
        fault = Fault.read(_body())
        stage.add((), (fault,))
        return done({"scenarios": [], "faults": [fault.name]})

    def reset(name: str) -> Response:
        stage.faults.reset(name)
        return done()

    _told_by_name(routes, "fault", stage.faults, done, reset)


def _clock(routes: Blueprint, stage: Stage, done: Done) -> None:
    def moved(move: Callable[[ClockState, int], ClockState] | None) -> Response:
        RestRequest.current().finish()
        if move is not None:
            stage.move_clock(move)
        state = stage.clock.state
        return done(
            {
                "now": stage.clock.now_in_millis(),
                "stopped": state.stopped_at is not None,
                "offset_in_millis": state.offset_in_millis,
            }
        )

    @routes.get(f"{PREFIX}/clock")
    def get_clock() -> Response:
        return moved(None)

    @routes.post(f"{PREFIX}/clock/_stop")
    def stop_clock() -> Response:
        told = _told(StopAt) if RestRequest.current().payload else StopAt()
        return moved(lambda clock, now: clock.stopped(now, told.at))

    @routes.post(f"{PREFIX}/clock/_start")
    def start_clock() -> Response:
        return moved(lambda clock, now: clock.started(now))

    @routes.post(f"{PREFIX}/clock/_advance")
    def advance_clock() -> Response:
        millis = parse_time_value(_told(Advance).by, "by") // NANOS_PER_MILLI

        def advanced(clock: ClockState, now: int) -> ClockState:
            after = clock.advanced(millis)
            if after.now(now) > LATEST:
                raise IllegalArgument("`by` takes the clock beyond the year 9999")
            return after

        return moved(advanced)

    @routes.delete(f"{PREFIX}/clock")
    def reset_clock() -> Response:
        return moved(lambda _clock, _now: ClockState())

    @routes.put(f"{PREFIX}/ids")
    def seed_ids() -> Response:
        seed = _told(Seed).seed
        RestRequest.current().finish()
        stage.seed_ids(seed)
        return done()

    @routes.delete(f"{PREFIX}/ids")
    def random_ids() -> Response:
        RestRequest.current().finish()
        stage.seed_ids(None)
        return done()


def _tasks(routes: Blueprint, stage: Stage, done: Done) -> None:
    @routes.post(f"{PREFIX}/tasks")
    def create_task() -> Response:
        rest = RestRequest.current()
        rest.finish()
        told = _told(NewTask)
        scenario = stage.scenarios.get(told.scenario).scenario if isinstance(told.scenario, str) else told.scenario
        base = {
            "task_type": told.task_type.value,
            "function_name": told.function_name.value,
            "input_type": told.input_type.value if told.input_type else None,
            "model_id": told.model_id,
            "is_async": told.is_async,
        }
        task_id = stage.create_task(base, scenario, request.headers.get("X-Opaque-Id"))
        return done({"task_id": task_id, "status": TaskState.CREATED.value})


def _body() -> bytes:
    """Return the request's body as JSON; raise IllegalArgument if there is none."""
    rest = RestRequest.current()
    if not rest.payload:
        raise IllegalArgument("request body is required")
    return rest.json_body()


def _told(kind: type[Told]) -> Told:
    """Return the request's body.

    Raises:
        IllegalArgument: it is none; the reason names the field.
    """
    try:
        return decode(_body(), kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IllegalArgument(str(error)) from error
