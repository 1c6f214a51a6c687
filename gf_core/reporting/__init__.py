"""Reports of runs: read, summarised, and written as text, JSON, Markdown or CSV."""

from gf_core.reporting.document import to_document
from gf_core.reporting.model import RunReport, SuiteLoader, find_runs, read_report
from gf_core.reporting.tables import to_csv, to_markdown
from gf_core.reporting.text import plain, render

__all__ = ["RunReport", "SuiteLoader", "find_runs", "plain", "read_report", "render", "to_csv", "to_document", "to_markdown"]
