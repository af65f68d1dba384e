"""The classic home of an OpenSearch with plugins: `modules/` and `plugins/`, put together once in the cache.

Knows files and descriptors. Must not know processes or settings.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Collection
from pathlib import Path

from mlcommons_tasks.errors import StartError
from mlcommons_tasks.node.distribution import Distribution, Module, hold_lock

_DESCRIPTOR = "plugin-descriptor.properties"
_EXTENDED = "extended.plugins"
#: What a security manager lets a module do.
_POLICY = "grant { permission java.security.AllPermission; };\n"


def assemble(distribution: Distribution) -> Path:
    """Give the folder that holds `modules/` and `plugins/`; makes it when it is not there."""
    homes = distribution.cache_dir / "homes"
    target = homes / distribution.lock.digest[:16]
    if target.is_dir():
        return target
    unfinished = homes / f"{target.name}.unfinished"
    try:
        homes.mkdir(exist_ok=True)
        with hold_lock(homes / "assembly.lock"):
            if not target.is_dir():
                shutil.rmtree(unfinished, ignore_errors=True)
                _fill(distribution, unfinished)
                unfinished.rename(target)
    except OSError as error:
        raise StartError(
            f"the cache folder {homes} cannot be written: {error.strerror or error}",
            hint="Make it writable, or name another with MLCOMMONS_TASKS_CACHE_DIR.",
        ) from error
    return target


def _fill(distribution: Distribution, home: Path) -> None:
    (home / "modules").mkdir(parents=True)
    (home / "plugins").mkdir()
    there = {module.name for module in distribution.lock.modules} | set(distribution.plugins)
    for file in distribution.lock.files:
        source = distribution.path(file)
        folder = home / file.into
        if source.suffix == ".zip":
            with zipfile.ZipFile(source) as archive:
                archive.extractall(folder)
            _free(folder / _DESCRIPTOR, there)
        elif file.into.startswith(("modules/", "plugins/")):
            folder.mkdir(exist_ok=True)
            _place(source, folder / source.name)
    for module in distribution.lock.modules:
        folder = home / "modules" / module.name
        descriptor = _descriptor(module, distribution)
        (folder / _DESCRIPTOR).write_text(descriptor, encoding="utf-8")
        if distribution.lock.java.security_manager:
            (folder / "plugin-security.policy").write_text(_POLICY, encoding="utf-8")


def _free(descriptor: Path, modules: Collection[str]) -> None:
    """Have a plugin extend only what is there: not every module of the distribution is in Maven Central."""
    lines = descriptor.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        key, _, extended = line.partition("=")
        if key == _EXTENDED:
            names = [name for name in extended.split(",") if name.partition(";")[0] in modules]
            lines[number] = f"{key}={','.join(names)}"
    descriptor.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _place(source: Path, target: Path) -> None:
    """Link a jar; not by a symbolic link, for a security manager looks at where that leads to."""
    try:
        os.link(source, target)
    except OSError:  # a file system without such links
        shutil.copyfile(source, target)


def _descriptor(module: Module, distribution: Distribution) -> str:
    version = distribution.version
    properties = {
        "name": module.name,
        "description": module.name,
        "version": version,
        "opensearch.version": version,
        "java.version": str(distribution.lock.java.least),
        "classname": module.classname,
        _EXTENDED: ",".join(module.extends),
        "has.native.controller": "false",
    }
    return "".join(f"{key}={value}\n" for key, value in properties.items())
