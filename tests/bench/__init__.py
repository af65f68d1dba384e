"""`make bench`: the service beside the real plugin, in one run, on one machine."""
