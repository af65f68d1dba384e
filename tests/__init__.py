"""Tests, a package so that the tools among them run with python -m."""
