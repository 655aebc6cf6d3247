"""Findings about recordings and datasets."""
