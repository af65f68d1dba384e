"""The embedded OpenSearch: its bytes on disk and its process."""
