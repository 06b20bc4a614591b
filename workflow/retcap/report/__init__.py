"""The report of an experiment: one self-contained HTML page made from the result files."""

from retcap.report.inputs import CaptioningInputs, ReportInputs, RetrievalInputs
from retcap.report.page import build_report

__all__ = ["CaptioningInputs", "ReportInputs", "RetrievalInputs", "build_report"]
