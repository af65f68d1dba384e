"""A short way for polls and plain searches, below gunicorn's parser and Flask, in the loop that watches connections."""
