"""What roles allow, and how a refusal reads. Pure.

Source: OpenSearch Security 3.4.0 `WildcardMatcher`, `FlattenedActionGroups`, `ClusterPermissions`; recorded of a node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from mlcommons_tasks.errors import TaskPluginError

ML_ACTIONS = "cluster:admin/opensearch/ml/"


class Forbidden(TaskPluginError):
    """403: the caller's roles do not allow the action."""

    status = 403
    type = "security_exception"


@dataclass(frozen=True)
class Caller:
    """Who sends a request, as the cluster says: `user` is how its messages call them."""

    user: str
    roles: tuple[str, ...]

    @classmethod
    def of(cls, authinfo: Mapping[str, Any]) -> Caller:
        """Read the answer to `GET _plugins/_security/authinfo`."""
        return cls(str(authinfo["user"]), tuple(map(str, authinfo.get("roles", ()))))


@dataclass(frozen=True)
class Roles:
    """The cluster's roles and action groups: what each names, groups among it."""

    cluster_permissions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    action_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, roles: Mapping[str, Any], action_groups: Mapping[str, Any]) -> Roles:
        """Read the answers to `GET _plugins/_security/api/roles` and `/actiongroups`."""
        return cls(
            {name: tuple(role.get("cluster_permissions", ())) for name, role in roles.items()},
            {name: tuple(group.get("allowed_actions", ())) for name, group in action_groups.items()},
        )

    def allow(self, caller: Caller, action: str) -> bool:
        """Say whether one of the caller's roles allows an action."""
        named = (name for role in caller.roles for name in self.cluster_permissions.get(role, ()))
        return any(_matches(pattern, action) for pattern in self._patterns(named))

    def require(self, caller: Caller, action: str) -> None:
        """Raise Forbidden unless one of the caller's roles allows an action."""
        if not self.allow(caller, action):
            raise Forbidden(f"no permissions for [{action}] and {caller.user}")

    def _patterns(self, names: Iterable[str]) -> set[str]:
        """Return the patterns that names stand for: a group may name groups, itself too."""
        patterns: set[str] = set()
        left, seen = list(names), set()
        while left:
            name = left.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self.action_groups:
                left += self.action_groups[name]
            else:
                patterns.add(name)
        return patterns


def _matches(pattern: str, action: str) -> bool:
    return pattern == action or _compiled(pattern).fullmatch(action) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Read a pattern: `*` and `?` as everywhere, a regular expression between slashes."""
    if len(pattern) > 1 and pattern[0] == pattern[-1] == "/":
        try:
            return re.compile(pattern[1:-1], re.DOTALL)
        except re.error:
            return re.compile(re.escape(pattern))
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(char, re.escape(char)) for char in pattern), re.DOTALL)
