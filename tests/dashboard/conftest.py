"""The fixtures of every test of the pages: two snapshots, and a way to open a page on them."""

from opened_pages import full, open_page, without_rows

__all__ = ["full", "open_page", "without_rows"]
