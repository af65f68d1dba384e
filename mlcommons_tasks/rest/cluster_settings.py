"""`/_cluster/settings` where the cluster has no plugin: its own settings and ML Commons' in one answer.

What concerns no setting of ML Commons goes to the cluster and comes back byte for byte. The rest the cluster is asked
first, in the caller's name: whom it refuses sees and changes none of ours either. Source: OpenSearch 3.6.0
`RestClusterGetSettingsAction`, `RestClusterUpdateSettingsAction`, `SettingsUpdater`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request

from mlcommons_tasks.errors import IllegalArgument, TaskPluginError
from mlcommons_tasks.execution.current_settings import CurrentSettings
from mlcommons_tasks.rest.cluster_answer import (
    SHAPING,
    ClusterAnswer,
    cluster_json,
    readable,
    with_parameters,
    without,
)
from mlcommons_tasks.rest.exchange import RestRequest, reply
from mlcommons_tasks.rest.proxy import ask, forward
from mlcommons_tasks.store.connection import refused
from mlcommons_tasks.store.settings import SettingsStore, StoredSettings
from mlcommons_tasks.store.upstream import Reply, Upstream
from mlcommons_tasks.versions import Profile
from mlcommons_tasks.versions.settings import PREFIX
from mlcommons_tasks.wire.bodies import json_of
from mlcommons_tasks.wire.media_types import MediaType
from mlcommons_tasks.wire.ml_settings import defaults_of, known, refusal, split
from mlcommons_tasks.wire.rendering import render_json
from mlcommons_tasks.wire.settings import (
    Settings,
    UnreadableSettingsError,
    Wishes,
    changed,
    read_wishes,
    rendered,
)
from mlcommons_tasks.wire.strict_json import Irregular, load_regular
from mlcommons_tasks.wire.time_value import parse_time_value

NAME = "cluster_settings"
SCOPES = ("transient", "persistent")  #: in the order in which OpenSearch looks at them
FLAT = "flat_settings"
#: Changes nothing where there is no plugin, and is refused to whom a change would be.
NO_CHANGE = {"persistent": {f"{PREFIX}*": None}}
#: No setting's name; it comes after all others, so that all of them have been looked at when it is refused.
NO_SETTING = "zzzz.mlcommons_tasks"

WishesByScope = Mapping[str, Wishes]


def cluster_settings_blueprint(
    store: SettingsStore, current: CurrentSettings, upstream: Upstream, profile: Profile
) -> Blueprint:
    """Return the routes of cluster settings."""
    routes = Blueprint(NAME, __name__)
    edge = SettingsEdge(store, current, upstream, profile)

    @routes.errorhandler(ClusterAnswer)
    def pass_through(_: ClusterAnswer) -> Response:
        return forward(upstream, was_read=request.method != "GET")

    @routes.get("/_cluster/settings")
    def get_settings() -> Response:
        flat = _flag(FLAT)
        return reply(edge.shown(flat=flat, with_defaults=_flag("include_defaults")))

    @routes.put("/_cluster/settings")
    def put_settings() -> Response:
        flat = _flag(FLAT)
        ours, theirs = edge.wishes()
        edge.refuse(ours, theirs)
        return reply(edge.changed(ours, theirs, flat=flat))

    return routes


class SettingsEdge:
    """What the routes do."""

    def __init__(self, store: SettingsStore, current: CurrentSettings, upstream: Upstream, profile: Profile) -> None:
        self._store = store
        self._current = current
        self._upstream = upstream
        self._profile = profile
        self._version = profile.version

    def shown(self, *, flat: bool, with_defaults: bool) -> dict[str, Any]:
        """Return the cluster's settings with ours; where there are none of ours, that is the cluster's business."""
        stored = self._store.read()
        if not stored.effective and not with_defaults:
            raise ClusterAnswer
        theirs = cluster_json(self._upstream, _plain_target())
        ours: dict[str, Settings] = {
            "persistent": known(stored.persistent, self._version),
            "transient": known(stored.transient, self._version),
        }
        if with_defaults:
            defaults = defaults_of(self._version)
            ours["defaults"] = {key: value for key, value in defaults.items() if key not in stored.effective}
        return _merged(theirs, ours, flat=flat)

    def wishes(self) -> tuple[WishesByScope, WishesByScope]:
        """Return the wishes in the body that concern ML Commons and those that concern the cluster.

        Without any of ours, or where OpenSearch looks at none, the request is the cluster's business.
        """
        ours: dict[str, Wishes] = {}
        theirs: dict[str, Wishes] = {}
        body = _body()
        for scope in SCOPES:
            if scope in body:
                try:
                    wishes = read_wishes(body[scope])
                except (UnreadableSettingsError, RecursionError) as error:
                    raise ClusterAnswer from error
                ours[scope], theirs[scope] = split(wishes, self._version)
        if not any(ours.values()):
            raise ClusterAnswer
        return ours, theirs

    def refuse(self, ours: WishesByScope, theirs: WishesByScope) -> None:
        """Refuse a request that OpenSearch with the plugin would refuse, for the first reason that it would find.

        The cluster looks at its part together with a setting that it does not know, which it refuses in any case:
        the bad one of ours in its place, or else one that comes last. So nothing changes while it is asked.

        Raises:
            TaskPluginError: what is wrong with one of ours.
            UpstreamError: what is wrong with one of theirs; or the caller may change nothing.
        """
        for scope in SCOPES:
            if (bad := refusal(ours.get(scope, {}), scope, self._profile)) is not None:
                key, error = bad
                self._rehearse(theirs, scope, key)
                raise error
        if any(theirs.values()):
            self._rehearse(theirs, "persistent", NO_SETTING)

    def changed(self, ours: WishesByScope, theirs: WishesByScope, *, flat: bool) -> dict[str, Any]:
        """Change both parts, or none: ours first, which can be undone without harm if the cluster refuses the rest.

        Raises:
            UpstreamError: the cluster refuses it.
            StoreUnavailable: it went away; if that was between the two, ours was changed back if it came again.
        """
        if not any(theirs.values()):
            answer = self._tell(NO_CHANGE)
            before, after = self._store.change(lambda stored: _after(stored, ours))
            self._current.forget()
            body = json.loads(answer.payload)
            body["acknowledged"] = body["acknowledged"] and (before == after or _waits_for_nodes())
        else:
            before, after = self._store.change(lambda stored: _after(stored, ours))
            self._current.forget()
            try:
                answer = self._tell(theirs)
            except TaskPluginError:
                self._store.change(lambda stored: _undone(stored, before, after))
                self._current.forget()
                raise
            body = json.loads(answer.payload)
        set_now = {
            scope: {key: value for key, value in wishes.items() if value is not None} for scope, wishes in ours.items()
        }
        return _merged(body, set_now, flat=flat)

    def _rehearse(self, theirs: WishesByScope, scope: str, key: str) -> None:
        """Have the cluster look at its part, up to a setting that it does not know.

        Raises:
            UpstreamError: it refuses something before that.
        """
        answer = self._ask({**theirs, scope: {**theirs.get(scope, {}), key: "?"}})
        error = refused(answer)
        if error.reason != f"{scope} setting [{key}], not recognized":
            raise error

    def _tell(self, wishes: WishesByScope) -> Reply:
        answer = self._ask(wishes)
        if answer.status != 200:
            raise refused(answer)
        return answer

    def _ask(self, wishes: WishesByScope) -> Reply:
        return ask(self._upstream, _plain_target(), "PUT", render_json(wishes))


def _flag(name: str) -> bool:
    """Return a boolean parameter; what OpenSearch would refuse is left to it."""
    rest = readable()
    try:
        return rest.parameters.boolean(name)
    except TaskPluginError as error:
        raise ClusterAnswer from error


def _waits_for_nodes() -> bool:
    """Say whether the caller gives the nodes time to confirm a change: without any it is not acknowledged."""
    timeout = RestRequest.current().parameters.text("timeout")
    try:
        return timeout is None or parse_time_value(timeout, "timeout") > 0
    except IllegalArgument:  # the cluster refused it
        return True


def _plain_target() -> str:
    """Return the request's target for an answer that ours can be put into: flat JSON, all of it."""
    target = without(RestRequest.current().target, (*SHAPING, FLAT, "error_trace"))
    return with_parameters(target, {FLAT: "true"})


def _body() -> Mapping[str, Any]:
    """Return the request's body; one that OpenSearch refuses, or only it can read, is left to it."""
    rest = RestRequest.current()
    payload = rest.payload
    if not payload or rest.media_type is None:
        raise ClusterAnswer
    try:
        text = json_of(payload, rest.media_type or MediaType.JSON)
        body = load_regular(text) if text is not None else None
    except (TaskPluginError, Irregular, RecursionError) as error:
        raise ClusterAnswer from error
    if not isinstance(body, dict):
        raise ClusterAnswer
    return body


def _merged(body: dict[str, Any], ours: Mapping[str, Settings], *, flat: bool) -> dict[str, Any]:
    """Return the cluster's answer, which is flat, with ours in it, flat or not."""
    return {
        name: rendered({**item, **ours.get(name, {})}, flat=flat) if isinstance(item, dict) else item
        for name, item in body.items()
    }


def _after(stored: StoredSettings, wishes: WishesByScope) -> StoredSettings:
    return StoredSettings(
        changed(stored.persistent, wishes.get("persistent", {})),
        changed(stored.transient, wishes.get("transient", {})),
    )


def _undone(now: StoredSettings, before: StoredSettings, after: StoredSettings) -> StoredSettings:
    """Return what is stored without a change, but for what somebody else changed since."""
    return StoredSettings(
        _put_back(now.persistent, before.persistent, after.persistent),
        _put_back(now.transient, before.transient, after.transient),
    )


def _put_back(now: Settings, before: Settings, after: Settings) -> Settings:
    found = dict(now)
    for key in before.keys() | after.keys():
        if before.get(key) != after.get(key) == now.get(key):
            found.pop(key, None)
            if key in before:
                found[key] = before[key]
    return found
