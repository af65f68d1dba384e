"""`python -m mlcommons_tasks`."""

from mlcommons_tasks.cli import main

if __name__ == "__main__":
    main()
