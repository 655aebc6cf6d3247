"""What one pass over a recording or a dataset measures, small enough to keep for every episode.

Detectors look at nothing else: see `piperline.detectors`.
"""
