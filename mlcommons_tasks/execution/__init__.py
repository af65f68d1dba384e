"""The life of a task: from CREATED to its end, and where the work is done."""
