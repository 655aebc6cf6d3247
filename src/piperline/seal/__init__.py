"""The seal of a dataset: what every file and every episode held when it was made."""
