"""A drafted layout converts files of recorders that nobody has described."""
