"""Verification: a dataset against its recordings, against its seal, and in itself."""

from piperline.verify.report import Report
from piperline.verify.verify import Options, verify

__all__ = ["Options", "Report", "verify"]
