"""The only rooms that speak to OpenSearch."""
