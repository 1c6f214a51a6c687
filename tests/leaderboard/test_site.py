"""The site: what its files hold, and how it behaves in a real browser."""

from __future__ import annotations

import csv
import functools
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import browser, browser_needed, visiting

from gf_core.canonical import sha256
from gf_core.cli.site import _Handler
from gf_core.errors import GrinningFaceError
from gf_core.leaderboard.board import change, init, read_board
from gf_core.leaderboard.board.ranking import outcomes, rank
from gf_core.leaderboard.board.repository import write_json
from gf_core.leaderboard.site import build
from gf_core.leaderboard.site.techniques import make_matrix
from gf_core.plugins import load_plugins
from gf_core.schemas import validate
from gf_core.statistics import paired_episodes_needed, paired_permutation

from .boards import edit, suite, write_entry
from .forging import probe_for

pytest.importorskip("itables")

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}"


def skill(base: float) -> Callable[[str], float]:
    return lambda cluster: min(1.0, max(0.0, base + int(sha256(cluster)[:2], 16) / 512 - 0.25))


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("site") / "board"
    init(path, title="Ours", storage="files", contact="board@example.org")
    for number, (technique, base) in enumerate((("full", 0.85), ("LoRA", 0.7), ("freeze", 0.55))):
        for seed in range(3):
            card = {"backbone": "some/vlm", "technique": technique, "training_seed": seed}
            write_entry(path, f"{technique}, seed {seed}", skill(base), seed=10 * number + seed, **card)
    words = dict.fromkeys(("description", "backbone", "technique", "head", "recipe", "license", "notes", "contact"), HOSTILE)
    write_entry(path, HOSTILE[:95], 0.4, seed=50, robot_data=[HOSTILE], authors=[HOSTILE], **words)
    write_entry(path, "=1+2", 0.3, seed=51, robot_data=[])
    change(path, write_entry(path, "Doubtful", 0.99, seed=52), "disputed", HOSTILE)
    change(path, write_entry(path, "Gone", 0.9, seed=53), "withdrawn", HOSTILE)
    write_entry(path, "Small", 0.5, of=suite("gf/smoke@1"))
    write_entry(path, "Controlled", 0.5, of=suite("gf/controls@1"))
    asked = write_entry(path, "Asked", 0.5, of=suite("gf/smoke@1"), seed=1)
    write_json(path / "entries" / asked / "probe.json", probe_for(suite("gf/smoke@1")))
    edit(path / "leaderboard.json", lambda d: d.update(description=HOSTILE))
    return path


@pytest.fixture(scope="module")
def site(board: Path) -> Path:
    build(read_board(board), load_plugins(), board.parent / "site")
    return board.parent / "site"


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_nothing_of_strangers_is_markup_and_nothing_is_inline(site: Path) -> None:
    assert len(pages(site)) > 15
    for page in pages(site):
        for tag, attributes in Tags(page.read_text(encoding="utf-8")).tags:
            assert tag != "style", page
            assert not [name for name in attributes if name == "style" or name.startswith("on")], (page, tag, attributes)
            assert tag != "script" or "src" in attributes, page
            if tag == "img":
                assert attributes["src"] != "x", page
        text = page.read_text(encoding="utf-8")
        policy = next(a["content"] for tag, a in Tags(text).tags if a.get("http-equiv") == "Content-Security-Policy")
        assert policy is not None
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "alert(1)</script>" not in text


def test_links_lead_somewhere(site: Path) -> None:
    for page in pages(site):
        for tag, attributes in Tags(page.read_text(encoding="utf-8")).tags:
            target = attributes.get("href") or attributes.get("src")
            if tag == "use" or not target or target.startswith(("#", "data:")):
                continue
            assert not target.startswith(("http", "/", "javascript")), (page, target)
            assert (page.parent / target.partition("?")[0]).resolve().is_file(), (page, target)


def test_withdrawn_entries_have_no_page_and_disputed_ones_say_why(site: Path, board: Path) -> None:
    ids = {entry.name: entry.id for entry in read_board(board).entries}
    assert not (site / "entries" / f"{ids['Gone']}.html").exists()
    assert "Gone" in (site / "about.html").read_text(encoding="utf-8")
    assert "<b>Disputed</b>" in (site / "entries" / f"{ids['Doubtful']}.html").read_text(encoding="utf-8")


def test_what_stands_against_an_entry_is_told_with_its_own_reason(tmp_path: Path) -> None:
    init(tmp_path / "board", title="Ours", storage="files")
    one, other = (write_entry(tmp_path / "board", name, 0.5, seed=n) for n, name in enumerate(("One", "Other")))
    for entry, what in ((one, "disputed"), (one, "withdrawn"), (one, "restored"), (other, "withdrawn"), (other, "disputed")):
        change(tmp_path / "board", entry, what, f"{what} for a reason")  # type: ignore[arg-type]
    build(read_board(tmp_path / "board"), load_plugins(), tmp_path / "site")
    page = (tmp_path / "site" / "entries" / f"{one}.html").read_text(encoding="utf-8")
    assert "disputed for a reason" in page.partition("<b>Disputed</b>")[2].partition("</p>")[0]
    withdrawn = (tmp_path / "site" / "about.html").read_text(encoding="utf-8").partition("<h2>Withdrawn</h2>")[2]
    assert "withdrawn for a reason" in withdrawn.partition("</ul>")[0]


def test_the_data_is_what_the_tables_show(site: Path, board: Path) -> None:
    import pyarrow.parquet

    document = json.loads((site / "data/board.json").read_bytes())
    validate(document, "ranking", source="board.json")
    rows = list(csv.DictReader((site / "data/board.csv").open(encoding="utf-8")))
    val = [row for row in rows if (row["suite"], row["split"]) == ("gf/standard@1", "val")]
    assert len(val) == 12
    assert next(row for row in rows if row["name"].endswith("1+2"))["name"] == "'=1+2"
    told = {place["entry"]["id"]: place["rates"]["val"]["success"] for table in document["tables"] for place in table["places"]}
    for row in val:
        if row["ranks"]:
            assert float(row["success_estimate"]) == told[row["entry"]]["estimate"]
    assert pyarrow.parquet.read_table(site / "data/board.parquet").num_rows == len(rows)


def test_controls_say_what_reading_nothing_would_give(site: Path, board: Path) -> None:
    ids = {entry.name: entry.id for entry in read_board(board).entries}
    text = (site / "entries" / f"{ids['Controlled']}.html").read_text(encoding="utf-8")
    assert "right card with a blank instruction" in text
    assert "guessing gives 3.7" in text  # all three cards of a scene by chance: 1/27
    # Between 1 - 1/3 and 1 - 1/9: it places the cube two or three times in a scene.
    switches = re.search(r"chooses otherwise when told otherwise.*?guessing gives ([\d.]+)", text, re.DOTALL)
    assert switches is not None
    assert 66.7 < float(switches[1]) < 88.9


def test_what_the_model_knew_stands_beside_what_the_policy_chose(site: Path, board: Path) -> None:
    ids = {entry.name: entry.id for entry in read_board(board).entries}
    text = (site / "entries" / f"{ids['Asked']}.html").read_text(encoding="utf-8")
    assert "Inheritance gap" in text
    assert re.search(r"val</th><td>after training</td><td>4</td><td>100</td><td>[\d.]+</td><td>\+", text)


def test_techniques_with_three_seeds_are_claims_and_others_are_not(site: Path) -> None:
    text = (site / "techniques.html").read_text(encoding="utf-8")
    assert text.count("3 seeds, [") == 3
    assert 'class="few"' in text


LARGE = {"stages": [{"steps": 10}], "seed": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"robot_data": ["gf/demos@1", "gf/demos@1 (again)"]},
        {"vision_language_data": ["captions"]},
        {"trainable_parameters": 7},
        {"total_parameters": 8},
        {"trained_items": []},
        {"selected_by": ["gf/dev@1"]},
        {"recipe": json.dumps({**LARGE, "stages": [{"steps": 11}]})},
    ],
    ids=lambda change: next(iter(change)),
)
def test_only_what_differs_in_the_training_seed_alone_is_pooled(tmp_path: Path, change: dict[str, Any]) -> None:
    init(tmp_path, title="Ours", storage="files")
    for seed in range(4):
        card = {"backbone": "some/vlm", "training_seed": seed, "recipe": json.dumps({**LARGE, "seed": seed})}
        write_entry(tmp_path, f"Seed {seed}", 0.6, seed=seed, **{**card, **(change if seed == 3 else {})})
    (table,) = rank(read_board(tmp_path), load_plugins()).tables
    (several,) = make_matrix(table).cells.values()
    assert sorted((len(cell.entries), cell.enough) for cell in several) == [(1, False), (3, True)]
    assert all(cell.apart for cell in several)


def test_a_policy_under_several_names_is_one_seed(tmp_path: Path) -> None:
    init(tmp_path, title="Ours", storage="files")
    drawn = (0, 1, 1, 2)
    ids = [
        write_entry(tmp_path, f"Seed {number}", 0.6, seed=seed, backbone="some/vlm", training_seed=number)
        for number, seed in enumerate(drawn)
    ]
    (table,) = rank(read_board(tmp_path), load_plugins()).tables
    ((cell,),) = make_matrix(table).cells.values()
    assert (len(cell.entries), len(cell.repeated), cell.enough) == (3, 1, True)
    assert {*cell.entries, *cell.repeated} == set(ids)
    ((cell,),) = make_matrix(table, dict.fromkeys(ids, "one policy")).cells.values()
    assert (len(cell.entries), len(cell.repeated), cell.enough) == (1, 3, False)
    for number, name in enumerate(ids):
        change = {"prints": f"{number:016x}" + f"{number % 2:016x}" + "." * 16 * (len(suite().episodes) - 2)}
        edit(tmp_path / "entries" / name / "outcomes.json", lambda d, change=change: d["runs"][0].update(change))
    (table,) = rank(read_board(tmp_path), load_plugins()).tables
    ((cell,),) = make_matrix(table).cells.values()
    assert (len(cell.entries), len(cell.repeated), cell.enough) == (2, 2, False)


def test_without_a_training_seed_an_entry_is_none_of_several(tmp_path: Path) -> None:
    init(tmp_path, title="Ours", storage="files")
    for seed in range(3):
        write_entry(tmp_path, f"Seed {seed}", 0.6, seed=seed, backbone="some/vlm", **({"training_seed": seed} if seed else {}))
    (table,) = rank(read_board(tmp_path), load_plugins()).tables
    ((cell,),) = make_matrix(table).cells.values()
    assert (len(cell.entries), cell.enough) == (3, False)


def test_a_site_is_replaced_and_nothing_else_is(site: Path, board: Path, tmp_path: Path) -> None:
    host = load_plugins()
    before = {page.name: page.read_bytes() for page in site.glob("*.html")}
    (site / "left-over.html").write_text("old")
    build(read_board(board), host, site)
    assert {page.name: page.read_bytes() for page in site.glob("*.html")} == before
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(GrinningFaceError, match="something else than a site"):
        build(read_board(board), host, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "dear"


def test_a_site_is_written_where_one_stands_and_where_a_link_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init(tmp_path / "board", title="Ours", storage="files")
    found, host = read_board(tmp_path / "board"), load_plugins()
    (tmp_path / "site").mkdir()
    (tmp_path / "link").symlink_to("site")
    (tmp_path / ".site.half").mkdir()
    (tmp_path / ".site.half/thesis.tex").write_text("dear")
    monkeypatch.chdir(tmp_path / "site")
    for out in (Path(), Path("../link"), tmp_path / "site"):
        built = build(found, host, out)
        assert (built.out, (Path.cwd() / "index.html").is_file()) == (out, True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / ".site.half/thesis.tex").read_text() == "dear"
    assert {path.name for path in tmp_path.iterdir()} == {"board", "site", "link", ".site.half"}


def test_a_build_that_fails_leaves_nothing_beside_and_the_site_as_it_was(tmp_path: Path) -> None:
    init(tmp_path / "board", title="Ours", storage="files")
    found, host = read_board(tmp_path / "board"), load_plugins()
    build(found, host, tmp_path / "site")
    before = {path: path.read_bytes() for path in (tmp_path / "site").rglob("*") if path.is_file()}

    def interrupt(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(found, host, tmp_path / "site", watch=interrupt)
    assert {path: path.read_bytes() for path in (tmp_path / "site").rglob("*") if path.is_file()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"board", "site"}


def test_an_empty_repository_has_a_site(tmp_path: Path) -> None:
    init(tmp_path / "board", title="Ours", storage="files")
    build(read_board(tmp_path / "board"), load_plugins(), tmp_path / "site")
    assert "There are no entries yet." in (tmp_path / "site/index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture
def visit(chromium: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Open a page."""
    with visiting(chromium, address) as go:
        yield go


def wait_for(page: Any, what: Callable[[], bool]) -> None:
    """Asked from here: in the page, the content-security policy forbids what Playwright would have to evaluate."""
    for _ in range(200):
        if what():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it never came to that")


def names(page: Any) -> list[str]:
    return [text.strip() for text in page.locator("#board tbody th a").all_inner_texts()]


@browser_needed
def test_filter_sort_search_and_permalink(visit: Callable[..., Any], site: Path) -> None:
    page = visit("index.html")
    page.wait_for_selector(".dt-search input")
    assert len(names(page)) == 12
    page.select_option("select[name=division]", "controlled")
    page.select_option("select[name=technique]", "LoRA")
    wait_for(page, lambda: page.locator("#board tbody tr").count() == 3)
    assert sorted(names(page)) == [f"LoRA, seed {seed}" for seed in range(3)]
    assert "division=controlled" in page.url
    again = visit(page.url.partition("/index.html")[2] and f"index.html{page.url.partition('index.html')[2]}")
    again.wait_for_selector(".dt-search input")
    assert names(again) == names(page)
    page.click("button[type=reset]")
    wait_for(page, lambda: page.locator("#board tbody tr").count() == 12)
    page.locator("#board thead th", has_text="success").click()
    page.wait_for_selector("#board thead th[aria-sort=ascending]")  # the table sorts after the click has returned
    wait_for(page, lambda: "sort=" in page.url)
    rates = [float(text.split()[0]) for text in page.locator("#board tbody tr td:nth-child(4)").all_inner_texts()]
    assert rates == sorted(rates)
    page.fill(".dt-search input", "freeze")
    wait_for(page, lambda: page.locator("#board tbody tr").count() == 3)
    assert sorted(names(page)) == [f"freeze, seed {seed}" for seed in range(3)]
    assert "q=freeze" in page.url
    assert "sort=3-asc" in page.url


@browser_needed
def test_tables_are_downloaded(visit: Callable[..., Any], site: Path) -> None:
    page = visit("index.html", accept_downloads=True)
    for kind in ("csv", "json", "parquet"):
        with page.expect_download() as caught:
            page.click(f"a[download][href$='board.{kind}']")
        download = caught.value
        assert download.suggested_filename == f"board.{kind}"
        assert Path(download.path()).read_bytes() == (site / "data" / f"board.{kind}").read_bytes()


@browser_needed
def test_the_comparison_is_the_statistics_own(visit: Callable[..., Any], board: Path) -> None:
    found = read_board(board)
    ids = {entry.name: entry.id for entry in found.entries}
    (table,) = [t for t in rank(found, load_plugins()).tables if t.division == "controlled"]
    runs = {place.played.entry.name: place.played for place in table.places}
    page = visit(f"compare.html?a={ids['full, seed 0']}&b={ids['full, seed 1']}")
    for other in ("full, seed 1", "LoRA, seed 2"):
        page.select_option("select[name=b]", ids[other])
        wait_for(page, lambda other=other: f"only {other}" in page.locator("#result").inner_text())
        text = page.inner_text("#result")
        right, known, member = outcomes([runs["full, seed 0"], runs[other]], suite(), "val")
        assert known.all()
        a, b = right
        test = paired_permutation(a, b, member)
        need = paired_episodes_needed(a, b, member).episodes
        assert f"{np.count_nonzero(a & ~b)} of 400" in text
        assert f"{np.count_nonzero(~a & b)} of 400" in text
        assert str(need) in text.splitlines()[-1]
        assert ("p < 0.001" if test.p < 0.001 else f"p = {test.p:.3f}") in text
        assert f"{100 * test.estimate:+.1f}".replace("-", "−") in text


@browser_needed
def test_on_a_phone_the_page_itself_does_not_scroll_sideways(visit: Callable[..., Any], site: Path) -> None:
    entry = next((site / "entries").glob("*.html")).name
    for path in ("index.html", f"entries/{entry}", "compare.html", "techniques.html", "targets.html", "about.html"):
        page = visit(path, viewport={"width": 360, "height": 740})
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


@browser_needed
def test_without_javascript_the_table_is_there(visit: Callable[..., Any]) -> None:
    page = visit("index.html", java_script_enabled=False)
    assert len(names(page)) == 12
    assert not page.locator("#filters").is_visible()
    assert "With JavaScript" in page.inner_text("main")
    assert "gf report" in visit("compare.html", java_script_enabled=False).inner_text("main")


@browser_needed
def test_dark_mode_is_dark(visit: Callable[..., Any]) -> None:
    page = visit("index.html", color_scheme="dark")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in re.findall(r"\d+", paper)) < 60


@browser_needed
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit: Callable[..., Any], site: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    entry = next((site / "entries").glob("*.html")).name
    for path in ("index.html", f"entries/{entry}", "compare.html", "techniques.html", "targets.html", "about.html"):
        page = visit(path, color_scheme=scheme, bypass_csp=True)
        page.wait_for_load_state("networkidle")
        page.evaluate(script)
        found = page.evaluate("axe.run().then((result) => result.violations)")
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
        assert serious == [], path


@browser_needed
def test_hostile_text_stays_text(visit: Callable[..., Any], site: Path, board: Path) -> None:
    hostile = next(entry.id for entry in read_board(board).entries if entry.name.startswith("<script>"))
    page = visit(f"entries/{hostile}.html")
    assert page.inner_text("h1") == HOSTILE[:95]
    page = visit(f"compare.html?a={hostile}&on=javascript:alert(1)")
    page.wait_for_selector("#result table")
    assert "<script>alert(1)</script>" in page.inner_text("#result")
