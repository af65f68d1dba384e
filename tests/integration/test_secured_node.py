"""Starts of a secured node that fail, and its end: as with the other nodes."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import psutil
import pytest

from mlcommons_tasks.errors import StartError
from mlcommons_tasks.node.distribution import Distribution, Kind, fetch
from mlcommons_tasks.node.process import EmbeddedNode
from mlcommons_tasks.node.security import Security
from tests.secured_node import VERSION, write_certificates
from tests.services import wait_until

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def distribution() -> Distribution:
    return fetch(VERSION, Kind.SECURITY)


@pytest.fixture
def security(tmp_path: Path) -> Security:
    """A node with certificates of its own, and the plugin's sample accounts."""
    write_certificates(tmp_path)
    (tmp_path / "config").mkdir()
    return Security(tmp_path / "node.pem", tmp_path / "node-key.pem", tmp_path / "ca.pem", tmp_path / "config")


def test_with_the_samples_alone_it_starts_and_leaves_nothing(distribution: Distribution, security: Security) -> None:
    """A folder without files of its own is enough; the key is for its owner only, and gone with the node."""
    with EmbeddedNode(distribution, security=security) as node:
        assert node.url.startswith("https://127.0.0.1:")
        folder, pid = node.log.parent.parent, node.pid
        assert (folder / "config" / "node-key.pem").stat().st_mode & 0o077 == 0
    assert not folder.exists()
    assert not psutil.pid_exists(pid)


def test_a_file_that_is_missing_is_said_before_anything_starts(distribution: Distribution, security: Security) -> None:
    """It says which."""
    began = time.monotonic()
    with pytest.raises(StartError, match=r"nowhere\.pem.* is not there"):
        EmbeddedNode(distribution, security=dataclasses.replace(security, key=Path("nowhere.pem"))).start()
    assert time.monotonic() - began < 2


def test_a_key_that_is_none_is_said_with_the_log(distribution: Distribution, security: Security) -> None:
    """The node's own words come with the error."""
    security.key.write_text("no key")
    node = EmbeddedNode(distribution, security=security)
    with pytest.raises(StartError, match="ended with exit code 1") as caught, node:
        pass
    assert "node-key.pem" in caught.value.log_tail
    assert caught.value.hint


def test_accounts_that_cannot_be_read_are_said_with_the_log(distribution: Distribution, security: Security) -> None:
    """Such a node never knows its accounts: the log, which says why, comes with the error."""
    (security.config / "internal_users.yml").write_text("no: [yaml")
    node = EmbeddedNode(distribution, security=security)
    node.start()
    try:
        wait_until(lambda: "no: [yaml" in node.log_tail(1000), what="the complaint in the log")
        with pytest.raises(StartError, match="was not ready within") as caught:
            node.wait_ready(0.5)
    finally:
        node.stop()
    assert "no: [yaml" in caught.value.log_tail


def test_security_goes_with_its_plugin(distribution: Distribution, security: Security) -> None:
    """A node that would be open though certificates were given, or closed to everybody, is not made."""
    with pytest.raises(ValueError, match="security plugin"):
        EmbeddedNode(distribution)
    with pytest.raises(ValueError, match="security plugin"):
        EmbeddedNode(fetch(), security=security)
