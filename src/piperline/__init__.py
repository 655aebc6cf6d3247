"""Robot recordings in HDF5 to LeRobot datasets that NVIDIA Isaac GR00T trains on."""

__version__ = "0.1.0"
