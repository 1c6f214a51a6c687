"""The report of a study: tables, contrasts, charts and a paragraph of what can be told, as text, JSON, or a page."""

from gf_core.studies.report.document import to_document
from gf_core.studies.report.html import study_page
from gf_core.studies.report.text import render_study

__all__ = ["render_study", "study_page", "to_document"]
