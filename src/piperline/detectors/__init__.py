"""Detectors: what is wrong with episodes, found in their signals.

See `piperline.detectors.detect`.
"""
