"""Requests that no well-behaved client would send, and what must hold of the answers to them."""
