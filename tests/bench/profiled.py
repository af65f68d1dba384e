"""`python -m tests.bench.profiled FILE serve …`: the command, with a profile of the worker's loop written to a file."""

from __future__ import annotations

import cProfile
import sys

from mlcommons_tasks import cli, foreground


def main() -> None:
    """Run the command."""
    path = sys.argv.pop(1)

    class Profiled(foreground._Worker):
        def run(self) -> None:
            profile = cProfile.Profile()
            profile.runcall(super().run)
            profile.dump_stats(path)

    foreground._Worker = Profiled  # type: ignore[misc]
    cli.main()


if __name__ == "__main__":
    main()
