"""Reports of runs: read, summarised, and written as text, JSON, Markdown, CSV, or a page."""

from gf_core.reporting.document import to_document
from gf_core.reporting.html import check_place, html_report, to_html, write_page
from gf_core.reporting.inheritance import GAP_HEADERS, attach_probes, gap_rows, probe_file
from gf_core.reporting.model import DefaultsLoader, Evidence, RunReport, SuiteLoader, find_runs, read_evidence, read_report
from gf_core.reporting.tables import to_csv, to_markdown
from gf_core.reporting.text import plain, render

__all__ = [
    "GAP_HEADERS",
    "DefaultsLoader",
    "Evidence",
    "RunReport",
    "SuiteLoader",
    "attach_probes",
    "check_place",
    "find_runs",
    "gap_rows",
    "html_report",
    "plain",
    "probe_file",
    "read_evidence",
    "read_report",
    "render",
    "to_csv",
    "to_document",
    "to_html",
    "to_markdown",
    "write_page",
]
