"""A demonstration without a robot: realistic recordings, and what becomes of them."""

from piperline.demo.session import write_recordings

__all__ = ["write_recordings"]
