"""Detectors: what is wrong with episodes, found in their signals; see `piperline.detectors.detect`."""
