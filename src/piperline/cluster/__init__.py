"""The same work divided into ranks, here or on SLURM."""
