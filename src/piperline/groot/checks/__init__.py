"""The checks of a preflight: each looks at one thing and yields findings."""
