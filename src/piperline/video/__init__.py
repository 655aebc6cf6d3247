"""Videos and images: the only door to FFmpeg (PyAV)."""
