"""The picture in CONTRIBUTING.md, held by reading imports: a module imports only from its left."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mlcommons_tasks"
CONTRIBUTING = PACKAGE.parent / "CONTRIBUTING.md"
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

#: From left to right; a room may import from rooms left of it and from itself.
LAYERS = [
    {"_version"},
    {"versions"},
    {"errors", "config", "clock", "java", "cancellation"},
    {"task", "cluster_task", "data_frame", "node.runtime", "tls"},
    {"model", "waiting"},
    {"wire", "pipeline", "node.distribution", "node.guard"},
    {"store", "node"},
    {"execution", "emulation"},
    {"rest", "board"},
    {"service"},
    {"namespaces"},
    {"app"},
    {"backend", "netty", "lane"},
    {"foreground"},
    {"server"},
    {"testing"},
    {"cli", "pytest_plugin"},
    {"__main__"},
]
#: Who may import what from outside.
HOMES = {
    "flask": {"rest", "board", "app"},
    "werkzeug": {"rest", "board", "app", "foreground", "server"},
    "opensearchpy": {"store", "testing"},
    "elasticsearch_dsl": {"store"},
    "elasticsearch": set(),
    "subprocess": {"node", "server", "foreground"},
    "pickle": set(),
    "click": {"cli"},
    "rich": {"cli"},
    "distributed": {"execution"},
    "dask": {"execution"},
    "sklearn": {"pipeline"},
    "krcf": {"pipeline"},
}


def room_of(module: str) -> str:
    """Return the room of a dotted module name below the package, the longest that a layer names."""
    rooms = {room for layer in LAYERS for room in layer}
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if ".".join(parts[:length]) in rooms:
            return ".".join(parts[:length])
    raise AssertionError(f"{module} is in no layer: add it to LAYERS and to the picture in CONTRIBUTING.md")


def test_the_picture_shows_the_layers() -> None:
    """The line in CONTRIBUTING.md has the rooms that there are, from left to right."""
    picture = next(line for line in CONTRIBUTING.read_text("utf-8").splitlines() if line.startswith("`versions` ←"))
    shown = [set(layer.strip(" `.").split()) for layer in picture.split("←")]
    there = {room for path in MODULES for room in (path.parts[0], path.stem, ".".join(path.with_suffix("").parts))}

    assert shown == [rooms for layer in LAYERS[1:-1] if (rooms := layer & there)]


def layer_of(room: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if room in layer)


def type_checking_lines(tree: ast.Module) -> set[int]:
    """Return the lines of imports that only a type checker sees."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def imports_of(path: Path) -> list[str]:
    """Return the dotted names that a file imports at run time."""
    tree = ast.parse(path.read_text())
    hidden = type_checking_lines(tree)
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if node.lineno not in hidden]
        elif isinstance(node, ast.ImportFrom) and node.lineno not in hidden:
            assert node.level == 0, f"{path} imports relatively"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_from_its_left(module: Path) -> None:
    """A room imports its own modules and rooms to its left, in whichever function the import stands."""
    name = ".".join(module.with_suffix("").parts).removesuffix(".__init__")
    if name == "__init__":
        return
    room = room_of(name)
    for imported in imports_of(PACKAGE / module):
        if not imported.startswith("mlcommons_tasks.") or imported.startswith("mlcommons_tasks._version"):
            continue
        theirs = room_of(imported.removeprefix("mlcommons_tasks."))
        same = theirs == room or (room == "node" and theirs.startswith("node"))
        assert same or layer_of(theirs) < layer_of(room), f"{name} ({room}) imports {imported} ({theirs})"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_library_stays_in_its_rooms(module: Path) -> None:
    """Flask, opensearch-py, elasticsearch_dsl, subprocess and others are imported where the design says, only."""
    name = ".".join(module.with_suffix("").parts).removesuffix(".__init__")
    for imported in imports_of(PACKAGE / module):
        library = imported.split(".")[0]
        if library in HOMES:
            assert name.split(".")[0] in HOMES[library], f"{name} imports {library}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_file_stays_readable(module: Path) -> None:
    """No file has more than 400 lines, and each begins by saying what it is."""
    text = (PACKAGE / module).read_text()

    assert text.count("\n") <= 400
    assert ast.get_docstring(ast.parse(text))
