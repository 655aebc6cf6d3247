"""Where a dataset is made, and how it gets its name: absent or complete."""
