"""The command line: it shows what the library does."""
