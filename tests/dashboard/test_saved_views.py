"""Views under a name: kept for everybody, bounded, and never torn by a bad file."""

from __future__ import annotations

from pathlib import Path

from dashboard import saved_views
from dashboard.saved_views import View

OWED = View("Owed to Relay", "billing", {"firm": ["abcdefgh"], "period": ["90d"]})


def test_a_view_is_read_back_as_it_was_kept(tmp_path: Path) -> None:
    assert saved_views.keep(tmp_path, OWED) == ""
    assert saved_views.kept(tmp_path) == [OWED]
    assert [file.name for file in tmp_path.iterdir()] == [saved_views.FILE]


def test_a_view_takes_the_place_of_one_of_its_name(tmp_path: Path) -> None:
    saved_views.keep(tmp_path, OWED)
    saved_views.keep(tmp_path, View("owed  to RELAY", "cash", {}))
    assert saved_views.kept(tmp_path) == [View("owed to RELAY", "cash", {})]


def test_a_view_needs_a_name_and_not_too_long_a_one(tmp_path: Path) -> None:
    assert "name" in saved_views.keep(tmp_path, View("  ", "billing", {}))
    assert "letters" in saved_views.keep(tmp_path, View("x" * 61, "billing", {}))
    assert saved_views.kept(tmp_path) == []


def test_there_is_an_end_to_views(tmp_path: Path) -> None:
    for n in range(saved_views.MOST):
        assert saved_views.keep(tmp_path, View(f"view {n}", "cash", {})) == ""
    assert "remove one" in saved_views.keep(tmp_path, View("one more", "cash", {}))
    assert saved_views.remove(tmp_path, "view 3") == ""
    assert saved_views.keep(tmp_path, View("one more", "cash", {})) == ""


def test_a_damaged_file_of_views_holds_none(tmp_path: Path) -> None:
    for text in ("", "{", "[1]", '[{"name": "x"}]', '[{"name": "x", "page": "cash", "params": 3}]'):
        (tmp_path / saved_views.FILE).write_text(text, "utf-8")
        assert saved_views.kept(tmp_path) == []


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    assert "could not be kept" in saved_views.keep(tmp_path / "file" / "below", OWED)
