"""Who is let in, and that nobody is sent a row that is not theirs: every page, file and explanation, as every role.

Foreign rows carry a mark in every text and amounts of their own size (planted_canaries.py), and all that is sent is
searched. Signing in itself is tried in a browser (test_access_browser.py).
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, example, given
from hypothesis import settings as trying
from hypothesis import strategies as st
from planted_canaries import FOREIGN, GREAT, OTHER_CLIENT, Planted, opened, plant, recorded

from dashboard import access, charts, data, filters
from dashboard.access import ANYBODY, EVERYTHING, Policy, Refused, Rule, Sight, Viewer
from dashboard.data import Store
from dashboard.filters import code
from models import catalog
from models.faults import Fault
from models.measure import Question
from pipelines import snapshots

pytestmark = pytest.mark.slow

PAGES = ("overview", "flow", "schedule", "scope", "handoffs", "compare", "billing", "cash", "project", "client",
         "data-health", "definitions")  # fmt: skip
REWOUND = {"as_of": "2026-03-31", "against": "2026-01-31"}
NOW = 1_800_000_000


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    found = plant(tmp_path_factory.mktemp("planted"), 30)
    (found.data / "milepost.toml").write_text(
        f"""
        [access]
        url = "https://milepost.example.com"
        issuer = "https://id.example.com"
        client_id = "milepost"
        client_secret_env = "CLIENT_SECRET"
        cookie_secret_env = "COOKIE_SECRET"
        people = [
          {{ email = "lead@example.com", role = "leadership" }},
          {{ email = "money@example.com", role = "finance" }},
          {{ email = "pm@example.com", role = "pm", managers = ["{found.manager}"] }},
          {{ email = "hands@example.com", role = "pm", managers = ["{found.manager}"], money = false }},
          {{ group = "the-client", role = "client", clients = ["{found.client}"] }},
        ]
        """,
        "utf-8",
    )
    return found


@pytest.fixture(autouse=True)
def _asked_here(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_DATA", str(planted.data))
    monkeypatch.delenv("MILEPOST_CONFIG", raising=False)


def user(name: str, **more: Any) -> dict[str, Any]:
    told = {"email": f"{name}@example.com", "email_verified": True, "sub": name, "iat": int(time.time())}
    return {"is_logged_in": True, "iss": "https://id.example.com", **told, **more}


CLIENT = user("someone", groups=["the-client"])
ROLES: Mapping[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "pm": (user("pm"), (FOREIGN,)),
    "hands": (user("hands"), (FOREIGN,)),
    "client": (CLIENT, (FOREIGN, OTHER_CLIENT)),
}


def stepping_outside(planted: Planted) -> dict[str, str]:
    """A link whose every id is somebody else's."""
    client, project = code(planted.foreign_client), code(planted.foreign_project)
    return {"firm": code(planted.foreign_firm), "client": client, "of": client, "project": project}


def seen_in(told: bytes, words: tuple[str, ...]) -> list[str]:
    small = told.lower()
    return [word for word in words if word.encode() in small]


def stores(planted: Planted) -> Iterator[tuple[str, Store]]:
    for name, sight in sights(planted).items():
        store = data.current(Viewer(name, sight, name))
        assert store is not None
        yield name, store


def sights(planted: Planted) -> dict[str, Sight]:
    return {
        "pm": Sight("pm", managers=(planted.manager,)),
        "hands": Sight("pm", managers=(planted.manager,), money=False),
        "client": Sight("client", clients=(planted.client,)),
    }


# ---------------------------------------------------------------- who is let in

POLICY = Policy(
    (
        Rule("ada@example.com", None, EVERYTHING),
        Rule(None, "pms", Sight("pm", managers=("Grace",))),
        Rule("bob@example.com", None, Sight("client", ("studio:c-1",))),
    ),
    "groups",
    12,
)


def admitted(**claims: Any) -> Viewer | Refused:
    told = {"iss": "https://id", "sub": "s-1", "iat": NOW - 60, **claims}
    return access.admit(told, POLICY, lambda: NOW)


def test_the_first_rule_that_fits_by_a_verified_address_or_a_group_decides() -> None:
    ada = admitted(email="Ada@Example.com", email_verified=True, groups=["pms"])
    assert isinstance(ada, Viewer)
    assert ada.sight == EVERYTHING
    by_group = admitted(email="x@example.com", email_verified=True, groups=["other", "pms"])
    assert isinstance(by_group, Viewer)
    assert by_group.sight.managers == ("Grace",)
    assert isinstance(admitted(groups="pms"), Viewer)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"email": "eve@example.com", "email_verified": True},
        {"email": "ada@example.com"},
        {"email": "ada@example.com", "email_verified": False, "groups": ["pms"]},
        {"email": "ada@example.com", "email_verified": "true"},
        {"email": "ada@example.com", "email_verified": True, "sub": ""},
        {"groups": ["PMS", "pms2"]},
        {"groups": {"pms": True}},
        {"groups": None},
        {"email": "ada@example.com", "email_verified": True, "iat": NOW - 12 * 3600 - 1},
        {"email": "ada@example.com", "email_verified": True, "iat": None},
        {"email": "ada@example.com", "email_verified": True, "iat": "soon"},
    ],
)
def test_whoever_is_unknown_unverified_or_signed_in_too_long_ago_is_refused(claims: dict[str, Any]) -> None:
    assert isinstance(admitted(**claims), Refused)


def test_an_ended_session_may_be_begun_again_and_a_stranger_may_not() -> None:
    late = admitted(email="ada@example.com", email_verified=True, iat=NOW - 13 * 3600)
    assert isinstance(late, Refused)
    assert late.ended
    eve = admitted(email="eve@example.com", email_verified=True)
    assert isinstance(eve, Refused)
    assert not eve.ended


def test_a_client_without_a_client_sees_nothing_rather_than_everything() -> None:
    assert not Sight("client").is_whole
    assert not Sight("client").sees_all_rows
    assert not Sight("client").may_ask_about("studio:c-1")


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ({"is_logged_in": False}, "Sign in to go on."),
        ({}, "The server was not started with"),
        (user("eve"), "eve@example.com may not open this dashboard."),
        (user("lead", email_verified=False), "has not been verified"),
        (user("lead", iat=int(time.time()) - 13 * 3600), "Your session has ended."),
    ],
)
@pytest.mark.parametrize("page", ["overview", "billing"])
def test_nothing_but_the_refusal_is_sent_to_whoever_is_not_let_in(
    planted: Planted, who: dict[str, Any], said: str, page: str
) -> None:
    with recorded() as sent:
        opened(planted.data, page, who, REWOUND)
    told = sent.told()
    assert said.encode() in told
    assert sent.files == []
    words = [FOREIGN, OTHER_CLIENT, planted.manager.lower(), "northlight", "relay", "hearth", "usd", "data health"]
    assert seen_in(told, tuple(words)) == []


def test_who_is_taken_out_of_the_settings_is_refused_at_the_next_click(planted: Planted) -> None:
    config = planted.data / "milepost.toml"
    before = config.read_text("utf-8")
    app = opened(planted.data, "definitions", user("money"))
    assert app.title[0].value == "Definitions"
    try:
        config.write_text(before.replace("money@example.com", "nobody@example.com"), "utf-8")
        app.run()
    finally:
        config.write_text(before, "utf-8")
    assert app.title[0].value == "Milepost"
    assert any("may not open" in element.proto.body for element in app.get("html"))


def test_signing_out_ends_every_copy_of_a_sign_in(planted: Planted) -> None:
    who = user("money", iat=int(time.time()) - 7)
    app, other_tab = opened(planted.data, "definitions", who), opened(planted.data, "definitions", who)
    app.button(key="sign_out").click().run()
    other_tab.run()
    assert other_tab.title[0].value == "Milepost"
    assert other_tab.button(key="sign_in").label == "Sign in again"
    assert opened(planted.data, "definitions", user("money", iat=who["iat"] + 1)).title[0].value == "Definitions"


# ---------------------------------------------------------------- what is sent


def test_the_search_finds_the_marks_where_they_may_be_seen(planted: Planted) -> None:
    for page in ("overview", "client", "data-health"):
        with recorded() as sent:
            app = opened(planted.data, page, user("lead"))
        assert not app.exception
        assert seen_in(sent.told(), (FOREIGN, OTHER_CLIENT)) == [FOREIGN, OTHER_CLIENT], page
        assert (f"client {FOREIGN} does not fit".encode() in sent.told()) is (page == "data-health")
    with recorded() as sent:
        opened(planted.data, "billing", user("money"))
    assert GREAT.search(sent.told())


WALKS = [
    *(("pm", page, rewound) for page in PAGES for rewound in (False, True)),
    *(("hands", page, False) for page in PAGES),  # held to the same rows
    *(("client", page, rewound) for page in ("overview", "client", "billing", "project") for rewound in (False, True)),
]


@pytest.mark.parametrize(("role", "page", "rewound"), WALKS)
def test_no_page_and_no_file_of_it_holds_a_foreign_row(planted: Planted, role: str, page: str, rewound: bool) -> None:
    who, words = ROLES[role]
    with recorded() as sent:
        app = opened(planted.data, page, who, stepping_outside(planted) | (REWOUND if rewound else {}))
    assert not app.exception
    told = sent.told()
    assert sent.files or page == "definitions"
    assert seen_in(told, words) == []
    assert not GREAT.search(told)
    if role == "client":
        assert app.title[0].value == "Your projects"
        assert not app.exception
        assert seen_in(told, ("data health", "billing", "hand-offs", planted.manager.lower())) == []
    if role == "hands":
        assert b"USD " not in told
        assert page not in ("billing", "cash") or app.title[0].value == "Overview"


def test_a_client_opens_its_page_whatever_the_link_says(planted: Planted) -> None:
    app = opened(planted.data, "client", CLIENT, {"of": code(planted.foreign_client), **REWOUND})
    (chosen,) = app.selectbox(key="pick_one_client").options
    assert app.selectbox(key="pick_one_client").value == planted.client
    assert FOREIGN not in chosen
    assert "Mar 31, 2026" not in str(app.get("html"))


MARK = "zqx"  # in all that no page ever offered
HOSTILE = (f"{MARK}' or 1=1 --", f"{MARK}'); drop table marts.gates; --", f"${MARK}", f"{MARK}\0\x1b[31m\u202e", MARK * 3_000,
           f"<img src=x onerror={MARK}>", f"../../{MARK}", f"{MARK}.{MARK}.client.{MARK}", "", "%27", "null")  # fmt: skip
DATES = ("0001-01-01", "9999-12-31", "2026-02-30", "2026-03-31", "2026-06-30T00:00", "-1")
SPANS = ("12m", "ytd", "all", "0001-01-01..9999-12-31", "0001-01-01..0001-01-02", "9999-12-30..9999-12-31", "1900-01-01..2199-12-31", "..",
         "2024-02-29..2024-02-29", "2026-01-01..' or 1=1")  # fmt: skip
TITLES = {
    "overview": "Overview",
    "compare": "Compare",
    "project": "Project",
    "client": "Client view",
    "billing": "Billing",
}
OWN = ("project", "of", "cell", "sort", "embed")  # parameters of single pages, and two that none has


FOREIGN_IDS = ("foreign_client", "foreign_project", "foreign_firm")
ODD = st.one_of(
    st.sampled_from(HOSTILE),
    st.sampled_from([told for name in FOREIGN_IDS for told in (name, f"code of {name}")]),
    st.text(max_size=20).map(lambda text: f"{MARK}{text}"),
)
VALUES = {
    **dict.fromkeys((*filters.CHOICES, *OWN, "clock"), ODD),
    "period": st.one_of(st.sampled_from(SPANS), ODD),
    **dict.fromkeys(filters.DAYS, st.one_of(st.sampled_from(DATES), ODD)),
}
LINKS = st.fixed_dictionaries(
    {}, optional={name: st.lists(one, min_size=1, max_size=3) for name, one in VALUES.items()}
)


@trying(
    max_examples=int(os.environ.get("MILEPOST_LINKS", "12")),
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # to open pages until the smallest link is found takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(link=LINKS, page=st.sampled_from(sorted(TITLES)), role=st.sampled_from(("pm", "client")))
@example(link={"period": ["0001-01-01..9999-12-31"]}, page="billing", role="pm")
@example(link={"period": ["9999-12-30..9999-12-31"], "as_of": ["2026-03-31"]}, page="compare", role="pm")
@example(link={"of": ["code of foreign_client"], "period": ["0001-01-01..0001-01-02"]}, page="client", role="client")
def test_whatever_a_link_says_a_page_opens_asks_nothing_of_it_and_shows_no_foreign_row(
    planted: Planted, link: dict[str, list[str]], page: str, role: str
) -> None:
    open_and_search(planted, link, page, role)


@pytest.mark.parametrize("page", sorted(TITLES))
def test_no_word_of_any_parameter_of_a_link_is_asked_of_the_engine(planted: Planted, page: str) -> None:
    word = f"{MARK}' or 1=1 --"
    link = {name: ["code of foreign_project", word] for name in VALUES}  # of several, pages take the first or the last
    open_and_search(planted, {**link, "cell": [f"{word}.{word}.client.{word}"]}, page, "pm")


def open_and_search(planted: Planted, link: Mapping[str, list[str]], page: str, role: str) -> None:
    known = {name: getattr(planted, name) for name in FOREIGN_IDS}
    known |= {f"code of {name}": code(id_) for name, id_ in known.items()}
    params = {name: [known.get(one, one) for one in values] for name, values in link.items()}
    who, words = ROLES[role]
    with recorded() as sent, asked() as statements:
        app = opened(planted.data, page, who, params)
    assert not app.exception
    told = sent.told()
    for given_id in known.values():  # the link itself, which the page sends back
        told = told.replace(quote_plus(given_id).encode(), b"")
    assert app.title[0].value == {"client": "Your projects"}.get(role, TITLES[page])
    assert seen_in(told, words) == []
    assert not GREAT.search(told)
    assert [one for one in statements if MARK in one] == []


@contextmanager
def asked() -> Iterator[list[str]]:
    """Keeps every statement that DuckDB is asked meanwhile, with its values."""
    statements: list[str] = []
    execute = duckdb.DuckDBPyConnection.execute

    def keep(con: duckdb.DuckDBPyConnection, query: Any, *rest: Any, **more: Any) -> Any:
        statements.append(f"{query} {rest} {more}")
        return execute(con, query, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duckdb.DuckDBPyConnection, "execute", keep)
        yield statements


def test_the_search_finds_what_the_engine_is_asked(planted: Planted) -> None:
    (store,) = [store for name, store in stores(planted) if name == "pm"]
    with asked() as statements:
        store.answer(Question("F1", where={"manager": (MARK,)}))
    assert [one for one in statements if MARK in one]


def test_no_explanation_of_any_measure_tells_of_a_foreign_row(planted: Planted) -> None:
    for name, store in stores(planted):
        if name == "client":
            continue  # has no such button, nor the tables to answer it
        for day in (None, date(2026, 3, 31)):
            held = data.rewound(store, day)
            for measure in data.catalogue():
                told = held.told(Question(measure))
                assert FOREIGN not in repr(told), measure
    app = opened(planted.data, "overview", user("pm"))
    with recorded() as sent:
        app.button(key="explain_tile_F10").click().run()
    assert b"Rows used" in sent.told()
    assert seen_in(sent.told(), (FOREIGN,)) == []


def test_every_measure_tells_a_manager_what_it_tells_of_their_projects(planted: Planted) -> None:
    whole = data.current(ANYBODY)
    held = data.current(Viewer("pm", sights(planted)["pm"]))
    assert whole is not None
    assert held is not None
    differing = []
    for measure, about in data.catalogue().items():
        if about.mart == "unmapped_gates" or "manager" not in about.dimensions:
            continue
        of_all = whole.answer(Question(measure, where={"manager": (planted.manager,)}))
        if not of_all.equals(held.answer(Question(measure))):
            differing.append(measure)
    assert differing == []


def test_no_table_holds_a_foreign_row_now_or_on_a_past_day(planted: Planted) -> None:
    for name, store in stores(planted):
        for day in (None, date(2026, 3, 31)):
            con = data._connection(str(store.path), day, store.sight)
            held = [mart for (mart,) in con.cursor().execute("select table_name from duckdb_tables()").fetchall()]
            for mart in held:
                text = repr(con.cursor().execute(f"select distinct * from marts.{mart}").fetchall()).lower()
                assert seen_in(text.encode(), ROLES[name][1]) == [], (name, mart)
            assert "gates" in held
            (count,) = con.cursor().execute("select count(*) from marts.projects").fetchall()[0]
            assert count > 0
            if name == "client":
                assert set(held) == {"projects", "gates", "gate_documents", "invoices", *access.SHARED}


def test_a_copy_for_a_viewer_can_open_no_file_whatever_it_is_asked(planted: Planted) -> None:
    (store,) = [store for name, store in stores(planted) if name == "pm"]
    cursor = data._connection(str(store.path), None, store.sight).cursor()
    (planted.data / "others.csv").write_text("client\nsomebody\n", "utf-8")
    reaching = (f"attach '{planted.data}/new.duckdb'", f"from read_csv('{planted.data}/others.csv')",
                f"copy (select 1) to '{planted.data}/out.csv'")  # fmt: skip
    for sql in reaching:
        with pytest.raises(duckdb.PermissionException):
            cursor.execute(sql)
    with pytest.raises(duckdb.Error, match="locked"):
        cursor.execute("set enable_external_access = true")
    with pytest.raises(ValueError, match="no column"):
        store.table("gates", ["gate_id from marts.gates; --"])
    asked = Question("F1", where={"manager": (f"x') or 1=1 or ('{planted.manager}",)})
    assert store.answer(asked).row(0, named=True)["n"] == 0


def test_a_mart_that_nobody_made_a_rule_for_is_kept_from_limited_viewers(planted: Planted) -> None:
    marts = {"new_ones": ["secret", "firm"], "gates": ["gate_id", "project_id"]}
    assert access.relations(sights(planted)["pm"], marts)["new_ones"].condition == "false"
    assert "new_ones" not in access.relations(sights(planted)["client"], marts)
    known = {mart: list(model.columns) for mart, model in catalog.marts().items()}
    empty = {mart for mart, one in access.relations(sights(planted)["pm"], known).items() if one.condition == "false"}
    assert {"rejects", "unmapped_gates"} <= empty


def test_own_rows_tell_nothing_of_others(planted: Planted) -> None:
    whole = data.current(ANYBODY)
    (held,) = [store for name, store in stores(planted) if name == "pm"]
    assert whole is not None
    told = whole.table("source_pulls", ["source", "row_count", "message"])
    assert told["row_count"].null_count() == 0
    assert told["message"].drop_nulls().len()
    kept = held.table("source_pulls", ["source", "row_count", "message"])
    assert set(kept["source"]) < set(told["source"])
    assert kept["row_count"].null_count() == kept["message"].null_count() == kept.height > 0
    columns = {mart: list(model.columns) for mart, model in catalog.marts().items()}
    shown = access.relations(held.sight, columns)["unlinked_lines"].columns
    hidden = {name for name, is_shown in shown if not is_shown}
    assert hidden == {name for name in columns["unlinked_lines"] if name.startswith(("suggested_", "fitting_"))}


def test_a_manager_without_money_is_shown_no_amount_and_is_told_so(planted: Planted) -> None:
    (store,) = [store for name, store in stores(planted) if name == "hands"]
    for mart, model in catalog.marts().items():
        for column in filter(access.is_money, model.columns):
            con = data._connection(str(store.path), None, store.sight).cursor()
            assert con.execute(f"select count({column}) from marts.{mart}").fetchall() == [(0,)], (mart, column)
    withheld = [
        measure
        for measure in data.catalogue()
        if store.answer(Question(measure)).filter(pl.col("note") == access.WITHHELD).height
    ]
    assert {measure for measure, about in data.catalogue().items() if about.unit == "money"} <= set(withheld)
    assert "F1" not in withheld
    for measure in withheld:
        assert store.answer(Question(measure))["value"].null_count() == store.answer(Question(measure)).height


def test_a_client_is_held_against_all_others_together_and_nobody_else_is(planted: Planted) -> None:
    (store,) = [store for name, store in stores(planted) if name == "client"]
    row = store.benchmark(Question("F1"), planted.client).row(0, named=True)
    assert row["others_clients"] is None or row["others_clients"] >= 5
    assert row["others_n"]
    with pytest.raises(Fault, match="not yours"):
        store.benchmark(Question("F1"), planted.foreign_client)


def test_a_client_is_told_of_no_gate_that_its_tool_does_not_show_it(planted: Planted) -> None:
    whole = data.current(ANYBODY)
    assert whole is not None
    hidden = whole.table(
        "gates", ["gate_id"], only=(("client_id", "=", planted.client), ("is_client_visible", "=", False))
    )
    assert hidden.height
    (store,) = [store for name, store in stores(planted) if name == "client"]
    for mart in ("gates", "gate_documents"):
        shown = store.table(mart, ["gate_id"])["gate_id"].drop_nulls()
        assert shown.len()
        assert not shown.is_in(hidden["gate_id"].implode()).any(), mart


def test_saved_views_are_each_viewers_own(planted: Planted) -> None:
    app = opened(planted.data, "flow", user("pm"))
    app.text_input(key="view_name").set_value("Only mine").run()
    app.button(key="keep_view").click().run()
    for who, there in ((user("pm"), True), (user("hands"), False), (user("lead"), False)):
        with recorded() as sent:
            opened(planted.data, "overview", who)
        assert (b"Only mine" in sent.told()) is there
    kept = list((planted.data / "views").rglob("*"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600, 0o700}
    assert not any(path.name == "pm" or "@" in str(path) for path in kept)


def test_answers_for_one_viewer_are_never_another_ones(planted: Planted) -> None:
    """What is kept of answers is told apart by what its viewer sees, in whatever order they come."""
    whole = data.current(ANYBODY)
    assert whole is not None
    everything = whole.answer(Question("F10"))
    for _, store in stores(planted):
        if store.sight.role != "client":
            assert store.answer(Question("F10"))["n"].item() < everything["n"].item()
    assert whole.answer(Question("F10")).equals(everything)
    stranger = replace(sights(planted)["pm"], managers=("Nobody",))
    alone = data.current(Viewer("x", stranger))
    assert alone is not None
    assert alone.answer(Question("F10"))["n"].item() == 0
    assert alone.firms == ()


def test_a_figure_drawn_for_one_viewer_is_never_sent_to_another(planted: Planted) -> None:
    def figures(who: dict[str, Any]) -> list[bytes]:
        app = opened(planted.data, "billing", who)
        return [element.proto.SerializeToString() for element in app.get("plotly_chart")]

    of_all = figures(user("lead"))
    after_them = figures(user("pm"))
    charts._figures.clear()
    alone = figures(user("pm"))
    assert len(alone) > 2
    assert after_them == alone
    assert not set(of_all) & set(alone)


def test_a_snapshots_card_is_all_that_is_read_of_it_for_a_viewer_with_limits(planted: Planted) -> None:
    serving = snapshots.newest(planted.data / "snapshots")
    assert serving is not None
    con = data._connection(str(serving.path), None, sights(planted)["client"]).cursor()
    assert con.execute("select count(*) from duckdb_databases() where path is not null").fetchall() == [(0,)]
    assert con.execute("select reporting_currency from marts.snapshot").fetchall() == [("USD",)]
    assert Path(serving.path).exists()
