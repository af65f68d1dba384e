"""What the real plugin makes of data sets, kept in `fixtures/results/`, and what ours makes of the same."""
