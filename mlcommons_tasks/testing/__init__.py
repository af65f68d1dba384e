"""What tests of other people use: a service for a test run, a namespace for a test, and what controls them.

Everything here speaks to a running service over HTTP; nothing here is part of one.
"""
