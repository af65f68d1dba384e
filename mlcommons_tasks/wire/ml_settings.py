"""ML Commons' own cluster settings: which of a request are its, whether they are good, what they mean. Pure.

Source: ml-commons 3.6.0 `MLCommonsSettings`; OpenSearch 3.6.0 `Setting`, `AbstractScopedSettings`; recorded.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from mlcommons_tasks.errors import BadRequest, IllegalArgument, TaskPluginError
from mlcommons_tasks.java import double_of, java_trim
from mlcommons_tasks.versions import Profile
from mlcommons_tasks.versions.settings import PREFIX, Setting, settings_of
from mlcommons_tasks.wire.byte_size import NotANumberError, parse_byte_size
from mlcommons_tasks.wire.settings import Settings, Value, Wishes, is_wildcard_reset, text_of, texts_of
from mlcommons_tasks.wire.simple_match import simple_match

#: With the plugin's own default, true, nobody could train without a node that has the role `ml`.
OUR_DEFAULTS = {f"{PREFIX}only_run_on_ml_node": "false"}

_RANGES = {"integer": 2**31, "long": 2**63}
_WHOLE = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class MLSettings:
    """What the settings that shape tasks say. The defaults are ours, used where a version has no such setting."""

    only_run_on_ml_node: bool = False
    task_dispatch_policy: str = "round_robin"
    max_ml_task_per_node: int = 10
    excluded_nodes: frozenset[str] = frozenset()
    local_model_roles: frozenset[str] = frozenset({"data", "ml"})
    ml_task_timeout_s: int = 600
    sync_up_interval_s: int = 10
    jvm_heap_threshold: int = 85
    disk_free_threshold: int = 5 * 1024**3

    @classmethod
    def of(cls, values: Settings) -> MLSettings:
        """Read settings by their whole names; those that are not there have our defaults."""

        def text(name: str, default: object) -> str:
            return text_of(values.get(f"{PREFIX}{name}", str(default)))

        roles = texts_of(values.get(f"{PREFIX}task_dispatcher.eligible_node_role.local_model", ""))
        said_none = values.get(f"{PREFIX}task_dispatcher.eligible_node_role.local_model") == []
        disk = text("disk_free_space_threshold", f"{cls.disk_free_threshold}b")
        return cls(
            only_run_on_ml_node=text("only_run_on_ml_node", "false") == "true",
            task_dispatch_policy=text("task_dispatch_policy", cls.task_dispatch_policy),
            max_ml_task_per_node=int(text("max_ml_task_per_node", cls.max_ml_task_per_node)),
            excluded_nodes=frozenset(text("exclude_nodes._name", "").split(",")) - {""},
            local_model_roles=frozenset(roles) if roles or said_none else cls.local_model_roles,
            ml_task_timeout_s=int(text("ml_task_timeout_in_seconds", cls.ml_task_timeout_s)),
            sync_up_interval_s=int(text("sync_up_job_interval_in_seconds", cls.sync_up_interval_s)),
            jvm_heap_threshold=int(text("jvm_heap_memory_threshold", cls.jvm_heap_threshold)),
            disk_free_threshold=parse_byte_size(disk, "disk_free_space_threshold"),
        )


def defaults_of(version: str) -> Settings:
    """Return the settings that a version has, as they are unless somebody sets them."""
    found = {key: setting.default for key, setting in settings_of(version).items()}
    return {key: value if isinstance(value, str) else list(value) for key, value in (found | _ours(found)).items()}


def known(settings: Settings, version: str) -> dict[str, Value]:
    """Return those settings that a version has."""
    names = settings_of(version)
    return {key: value for key, value in settings.items() if _named(key, names) is not None}


def split(wishes: Wishes, version: str) -> tuple[Wishes, Wishes]:
    """Return the wishes that concern ML Commons and those that concern OpenSearch; a wildcard may be both."""
    names = settings_of(version)
    ours = {
        key: value
        for key, value in wishes.items()
        if key.startswith(PREFIX) or (is_wildcard_reset(key, value) and any(simple_match(key, name) for name in names))
    }
    return ours, {key: value for key, value in wishes.items() if not key.startswith(PREFIX)}


def refusal(wishes: Wishes, scope: str, profile: Profile) -> tuple[str, TaskPluginError] | None:
    """Return the first of the wishes that is bad, with what is said of it; `scope` is `persistent` or `transient`."""
    for key, value in wishes.items():
        if is_wildcard_reset(key, value):
            continue
        try:
            _check(key, value, scope, profile)
        except TaskPluginError as error:
            return key, error
    return None


def _ours(names: Mapping[str, object]) -> dict[str, str]:
    return {key: value for key, value in OUR_DEFAULTS.items() if key in names}


def _named(key: str, names: Mapping[str, Setting]) -> Setting | None:
    """Return the setting that a name means, which may be that of a place in a list."""
    if key in names:
        return names[key]
    name, dot, place = key.rpartition(".")
    holder = names.get(name)
    return holder if dot and place.isdecimal() and holder is not None and holder.kind == "list" else None


def _check(key: str, value: Value | None, scope: str, profile: Profile) -> None:
    setting = _named(key, settings_of(profile.version))
    problem = None
    if setting is None:
        problem = f"{scope} setting [{key}], not recognized"
    elif setting.change == "final":
        problem = f"final {scope} setting [{key}], not updateable"
    elif setting.change == "static":
        problem = f"{scope} setting [{key}], not dynamically updateable"
    if problem is not None:
        raise BadRequest(problem, type=profile.setting_refused)
    if setting is not None and value is not None and setting.kind not in ("text", "list"):
        _check_value(key, text_of(value), setting)


def _check_value(key: str, text: str, setting: Setting) -> None:
    if setting.kind == "boolean":
        if text not in ("true", "false"):
            raise IllegalArgument(f"Failed to parse value [{text}] as only [true] or [false] are allowed.")
    elif setting.kind == "bytes":
        try:
            parse_byte_size(text, key)
        except NotANumberError as error:
            raise _no_number(key, text, str(error)) from error
    elif setting.kind == "float":
        _check_range(key, text, _single(key, text), setting, ".0")
    else:
        _check_range(key, text, _whole(key, text, _RANGES[setting.kind]), setting)


def _check_range(key: str, text: str, number: float, setting: Setting, fraction: str = "") -> None:
    problem = f"Failed to parse value [{text}] for setting [{key}] must be"
    if setting.low is not None and number < setting.low:
        raise IllegalArgument(f"{problem} >= {setting.low}{fraction}")
    if setting.high is not None and number > setting.high:
        raise IllegalArgument(f"{problem} <= {setting.high}{fraction}")


def _whole(key: str, text: str, end: int) -> int:
    if not _WHOLE.fullmatch(text) or max(text) > "\uffff" or not -end <= int(text) < end:
        raise _no_number(key, text, text)
    return int(text)


def _single(key: str, text: str) -> float:
    number = double_of(text)
    if number is None:
        empty = TaskPluginError("empty String", type="number_format_exception")
        raise _no_number(key, text, text, None if java_trim(text) else empty)
    try:
        return float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        return number


def _no_number(key: str, text: str, digits: str, cause: TaskPluginError | None = None) -> IllegalArgument:
    cause = cause or TaskPluginError(f'For input string: "{digits}"', type="number_format_exception")
    return IllegalArgument(f"Failed to parse value [{text}] for setting [{key}]", caused_by=cause)
