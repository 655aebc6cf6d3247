"""Recordings -> staged episodes -> a dataset, on one machine."""
