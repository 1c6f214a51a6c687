"""Reports of runs: read, summarised, and written as text, JSON, Markdown, CSV, or a page."""

from gf_core.reporting.document import to_document
from gf_core.reporting.html import check_place, html_report, to_html, write_page
from gf_core.reporting.model import Evidence, RunReport, SuiteLoader, find_runs, read_evidence, read_report
from gf_core.reporting.tables import to_csv, to_markdown
from gf_core.reporting.text import plain, render

__all__ = [
    "Evidence",
    "RunReport",
    "SuiteLoader",
    "check_place",
    "find_runs",
    "html_report",
    "plain",
    "read_evidence",
    "read_report",
    "render",
    "to_csv",
    "to_document",
    "to_html",
    "to_markdown",
    "write_page",
]
