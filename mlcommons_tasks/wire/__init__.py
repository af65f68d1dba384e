"""Protocol knowledge: bodies, parameters, renderings. Pure: no sockets, no files, no HTTP framework."""
