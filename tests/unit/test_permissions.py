"""What roles allow, as the security plugin reads them."""

from __future__ import annotations

import pytest

from mlcommons_tasks.wire.permissions import ML_ACTIONS, Caller, Forbidden, Roles

GET = f"{ML_ACTIONS}tasks/get"
TRAIN = f"{ML_ACTIONS}train"
WHO = Caller("User [name=ann, backend_roles=[], requestedTenant=null]", ("own", "second"))


def roles(*permissions: str, groups: dict[str, list[str]] | None = None) -> Roles:
    """Return roles of which the second has these permissions."""
    return Roles.of(
        {"own": {"cluster_permissions": []}, "second": {"cluster_permissions": list(permissions)}, "other": {}},
        {name: {"allowed_actions": actions} for name, actions in (groups or {}).items()},
    )


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [
        (GET, True),
        (f"{ML_ACTIONS}*", True),
        (f"{ML_ACTIONS}tasks/???", True),
        ("*", True),
        ("/cluster:admin/opensearch/ml/tasks/(get|search)/", True),
        (f"{ML_ACTIONS}tasks", False),
        (f"{ML_ACTIONS}tasks/ge", False),
        (f"{ML_ACTIONS}tasks/g?", False),
        ("cluster:admin/opensearch/ml/tasks.get", False),
        (GET.upper(), False),
        ("/(/", False),
        ("", False),
    ],
)
def test_a_permission_is_a_pattern(permission: str, allowed: bool) -> None:
    """A name, one with stars and question marks, or a regular expression between slashes; case counts."""
    assert roles(permission).allow(WHO, GET) is allowed


def test_groups_stand_for_what_they_name() -> None:
    """Groups of groups too, and going round in circles does no harm."""
    groups = {"ml_all": ["ml_read", TRAIN], "ml_read": [GET, "ml_all"]}
    for action in (GET, TRAIN):
        assert roles("ml_all", groups=groups).allow(WHO, action)
        assert roles("ml_read", groups=groups).allow(WHO, action)
    assert not roles("ml_all", groups=groups).allow(WHO, f"{ML_ACTIONS}tasks/delete")


def test_only_the_callers_roles_count() -> None:
    """What another role allows, or one that does not exist, is nothing to them."""
    allowing = Roles.of({"other": {"cluster_permissions": ["*"]}}, {})
    assert not allowing.allow(WHO, GET)


def test_a_refusal_reads_as_the_clusters() -> None:
    """It names the action and the caller as the security plugin calls them."""
    with pytest.raises(Forbidden) as caught:
        roles(TRAIN).require(WHO, GET)
    assert (caught.value.status, caught.value.type) == (403, "security_exception")
    assert caught.value.reason == f"no permissions for [{GET}] and {WHO.user}"
    roles(GET).require(WHO, GET)


def test_the_answers_of_the_plugin_are_read() -> None:
    """Who calls, from authinfo."""
    authinfo = {"user": WHO.user, "user_name": "ann", "roles": ["own", "second"], "backend_roles": ["x"]}
    assert Caller.of(authinfo) == WHO
