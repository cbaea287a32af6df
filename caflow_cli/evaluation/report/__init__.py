"""The gallery of an evaluation: one page and its pictures, opened from disk."""

from .page import write_report
from .pictures import ReportImages

__all__ = ["ReportImages", "write_report"]
