"""What NVIDIA Isaac GR00T needs beside a dataset."""
