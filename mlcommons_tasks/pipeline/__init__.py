"""From rows to a model: data sets and algorithms. Pure, and repeatable with a seed."""
