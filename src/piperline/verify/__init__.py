"""Verification: a dataset against its recordings, against its seal, and in itself."""

from piperline.verify.report import VerifyReport
from piperline.verify.verify import VerifyOptions, verify

__all__ = ["VerifyOptions", "VerifyReport", "verify"]
