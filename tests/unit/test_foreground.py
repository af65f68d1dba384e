"""What a worker is given before it runs: room for connections."""

from __future__ import annotations

import logging
import resource

import pytest

from mlcommons_tasks import foreground


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Stand for the process' limit on open files; the last pair counts."""
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: found[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: found.append(pair))
    return found


@pytest.mark.parametrize(
    ("limit", "raised", "most"),
    [
        ((1024, 524_288), (65_536, 524_288), 65_024),
        ((1024, 4096), (4096, 4096), 3584),
        ((256, resource.RLIM_INFINITY), (65_536, resource.RLIM_INFINITY), 65_024),
        ((20_000, 20_000), None, 19_488),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None, 65_024),
    ],
)
def test_the_limit_on_open_files_is_raised(
    limits: list[tuple[int, int]], limit: tuple[int, int], raised: tuple[int, int] | None, most: int
) -> None:
    """The soft limit goes up to the hard one, and some files are left for what is no caller's connection."""
    limits.append(limit)

    assert foreground.most_connections() == most
    assert limits[1:] == ([raised] if raised else [])


def test_a_low_limit_is_said(limits: list[tuple[int, int]], caplog: pytest.LogCaptureFixture) -> None:
    """Where the limit stays low the log says how many connections there may be."""
    limits.append((1024, 1024))
    with caplog.at_level(logging.WARNING):
        assert foreground.most_connections() == 512
    assert "512 connections at most: raise the limit on open files (ulimit -n)" in caplog.text


def test_a_limit_that_cannot_be_raised_is_lived_with(
    limits: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system does not allow is done without."""

    def refuse(_which: int, _pair: tuple[int, int]) -> None:
        raise ValueError("not allowed")

    limits.append((8192, 10_000))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert foreground.most_connections() == 7680
