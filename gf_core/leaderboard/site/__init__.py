"""A results repository as a static site: tables, entries, comparisons; readable without JavaScript, from any host of files."""

from gf_core.leaderboard.site.build import Built, build

__all__ = ["Built", "build"]
