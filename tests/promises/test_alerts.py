"""People are told once of each thing that is wrong, by a real mail server and a real webhook, and once when it is well.

What is told names sources, checks and counts, and nothing that came out of a record; a server that is down, slow or
hostile never breaks a refresh, and is said to be.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import pytest
from local_servers import PASSWORD, USER, MailServer, Webhook, mail_server, webhook
from small_firm import found, rewrite

from models.faults import Fault
from pipelines import alerting, doctor, refreshing, runs, tidying, warehouse
from pipelines.alert_block import Alerts
from pipelines.alert_channels import inert
from pipelines.alerting import Checked
from pipelines.settings import Settings, load
from pipelines.supervising import Found, Watch

pytestmark = pytest.mark.slow

JUNE = datetime(2026, 6, 30, 12, tzinfo=UTC)
CHECK = "marts/gates gate_id_is_unique"


@dataclass
class Told:
    """A data folder whose refreshes are only acted, and the servers that are told of them."""

    settings: Settings
    mail: MailServer
    hook: Webhook
    environ: dict[str, str]
    hour: int = 0
    warnings: list[str] = field(default_factory=list)

    def refresh(
        self,
        *,
        pulls: Mapping[str, str] | None = None,
        broken: Mapping[str, int] | None = None,
        held: Sequence[str] = (),
        problem: str | None = None,
    ) -> None:
        """A refresh of one hour later. `pulls`: source → outcome; `broken`: check → rows; `held`: checks that hold."""
        self.hour += 1
        at = JUNE + timedelta(hours=self.hour)
        watch = Watch(self.settings, f"r{self.hour}", "milepost refresh", at, self.environ)
        self.warnings = watch.begin()
        with warehouse.open_warehouse(self.settings.warehouse) as con:
            for source, outcome in (pulls or {}).items():
                row = [source, "files", "Firm", at.replace(tzinfo=None), outcome, 1, None, "record c1 of CLIENTNAME"]
                con.execute("insert into ops.pulls values (?, ?, ?, ?, ?, ?, ?, ?)", row)
        checks = [Checked(name, rows, holds=False) for name, rows in (broken or {}).items()]
        checks += [Checked(name, 0, holds=True) for name in held]
        problems = tuple(filter(None, [problem, *(f"{name}: CLIENTNAME" for name in broken or ())]))
        done = Found(problems=problems, checks=tuple(checks), published=None if problems else f"s{self.hour}")
        _, wrong = watch.end(done, 5.0)
        self.warnings += wrong

    def letters(self) -> list[str]:
        """Subject and text of all mails since last asked, in plain words."""
        found = [
            f"{make_header(decode_header(letter['Subject']))}\n{letter.get_payload(decode=True).decode()}".replace(
                "\r\n", "\n"
            )
            for _, letter in self.mail.letters
        ]
        self.mail.letters.clear()
        return found

    def posts(self) -> list[str]:
        found = [post["text"] for post in self.hook.posts]
        self.hook.posts.clear()
        return found


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    with mail_server(tmp_path) as mail, webhook() as hook:
        yield prepared(tmp_path, mail, hook)


def prepared(tmp_path: Path, mail: MailServer, hook: Webhook, **of_mail: Any) -> Told:
    settings = found(tmp_path / "data")
    block = {
        "timeout_seconds": 2,
        "mail": {
            "server": "localhost",
            "port": mail.port,
            "security": "none",
            "sender": "milepost@studio.example",
            "to": ["ida@studio.example", "ops@studio.example"],
            **of_mail,
        },
        "webhook": {"url_env": "HOOK"},
    }
    alerts = Alerts.model_validate(block)
    environ = {"HOOK": hook.url, "MAIL_PASSWORD": PASSWORD.decode()}
    return Told(settings.model_copy(update={"alerts": alerts}), mail, hook, environ)


# --- once for each cause ------------------------------------------------------------------------------------


def test_a_failed_refresh_is_told_once_and_once_more_when_it_is_well_again(told: Told) -> None:
    told.refresh()
    assert (told.letters(), told.posts()) == ([], [])
    told.refresh(problem="portal answers 500")
    for message in (*told.letters(), *told.posts()):
        assert message.startswith("Milepost alerts: 1 new\nThe refresh failed; the last good numbers are shown.")
    told.refresh(problem="portal answers 502")
    told.refresh(problem="no room")
    assert (told.letters(), told.posts()) == ([], [])
    told.refresh()
    letters, posts = told.letters(), told.posts()
    assert (len(letters), len(posts)) == (1, 1)
    assert "Well again: refresh, told at 2026-06-30 14:00 UTC." in letters[0]
    told.refresh()
    assert (told.letters(), told.posts()) == ([], [])
    told.refresh(problem="again")  # another time, so it is told again
    assert (len(told.letters()), len(told.posts())) == (1, 1)


def test_a_stale_source_is_told_once_with_the_day_of_its_last_good_pull(told: Told) -> None:
    told.refresh(pulls={"studio": "ok"})
    told.refresh(pulls={"studio": "failed"})
    (letter,) = told.letters()
    assert "Source studio is stale, it could not be pulled; its last good pull is of 2026-06-30 13:00 UTC." in letter
    told.refresh(pulls={"studio": "refused"})
    assert told.letters() == []
    told.refresh(pulls={"studio": "ok"})
    assert "Well again: source studio" in told.letters()[0]


def test_a_check_that_fails_is_told_once_and_is_not_well_again_until_it_was_seen_to_hold(told: Told) -> None:
    told.refresh(broken={CHECK: 3})
    (letter,) = told.letters()
    assert letter.startswith("Milepost alerts: 2 new\nThe refresh failed, 1 blocking check does not hold;")
    assert f"Check {CHECK}: 3 rows break it." in letter
    told.refresh(problem="stopped before any check")
    told.refresh(broken={CHECK: 5})
    assert told.letters() == []
    told.refresh(held=[CHECK], broken={"marts/bills other": 1})
    (letter,) = told.letters()
    assert "Well again: check marts/gates gate_id_is_unique" in letter
    assert "Well again: refresh" not in letter
    assert "Check marts/bills other: 1 row breaks it." in letter


def test_a_refresh_that_was_killed_is_told_by_the_next_as_it_begins(told: Told) -> None:
    Watch(told.settings, "r0", "milepost refresh", JUNE, told.environ).begin()  # and nothing more: it was killed
    Watch(told.settings, "r1", "milepost refresh", JUNE + timedelta(hours=1), told.environ).begin()
    (letter,) = told.letters()
    assert "The refresh of 2026-06-30 12:00 UTC was interrupted before it ended." in letter
    told.hour = 1
    told.refresh(problem="killed again, then failed")
    assert told.letters() == []


def test_a_server_that_was_down_is_told_later_and_the_other_not_twice(told: Told) -> None:
    told.mail.is_broken = True
    told.refresh(problem="no")
    assert (told.letters(), len(told.posts())) == ([], 1)
    assert told.warnings == [
        f"an alert was not sent, mail server localhost:{told.mail.port}: SMTPDataError, code 554. "
        "It is tried again after the next refresh."
    ]
    told.mail.is_broken = False
    told.refresh(problem="no")
    assert (len(told.letters()), told.posts(), told.warnings) == (1, [], [])


def test_what_came_and_went_while_a_server_was_down_is_not_told_to_it(told: Told) -> None:
    told.mail.is_broken = True
    told.refresh(problem="no")
    told.refresh()
    told.mail.is_broken = False
    told.refresh()
    assert told.letters() == []
    assert len(told.posts()) == 2


def test_without_channels_nothing_is_sent_and_causes_are_kept(told: Told) -> None:
    told.settings = told.settings.model_copy(update={"alerts": Alerts()})
    told.refresh(problem="no")
    assert (told.letters(), told.posts(), told.warnings) == ([], [], [])
    with warehouse.open_warehouse(told.settings.warehouse) as con:
        assert con.execute("select cause from ops.alerts where recovered_at is null").fetchall() == [("refresh",)]


def test_a_warehouse_that_cannot_be_opened_is_told_once_and_well_again_later(told: Told) -> None:
    told.refresh()
    whole = told.settings.warehouse.read_bytes()
    told.settings.warehouse.write_bytes(b"<html>" * 4000)
    for _ in range(2):
        with pytest.raises(Fault, match="is damaged or no warehouse"):
            told.refresh()
    (letter,) = told.letters()
    assert "The refresh failed, the warehouse cannot be opened; the last good numbers are shown." in letter
    told.settings.warehouse.write_bytes(whole)
    told.refresh(problem="no")
    assert told.letters() == []
    told.refresh()
    assert "Well again: refresh" in told.letters()[0]


def test_alerts_that_are_over_are_forgotten_in_the_end_and_open_ones_never(told: Told) -> None:
    told.settings = told.settings.model_copy(update={"keep_runs": 2})
    for _ in range(3):
        told.refresh(pulls={"studio": "failed"}, problem="no")
        told.refresh(pulls={"studio": "failed"})
    with warehouse.open_warehouse(told.settings.warehouse) as con:
        tidying.warehouse(con, told.settings)
        rows = con.execute("select cause, recovered_at is null from ops.alerts order by all").fetchall()
        assert ("source studio", True) in rows
        assert len(rows) <= 3
        ((notices,),) = con.execute("select count(*) from ops.alert_notices").fetchall()
        assert notices <= 2 * 2 * len(rows)


# --- by a whole refresh -------------------------------------------------------------------------------------


def test_a_real_refresh_tells_of_a_refused_record_without_a_word_of_it(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", told.hook.url)
    rewrite(told.settings, "clients", "Aster", "CLIENTNAME")
    rewrite(told.settings, "invoices", "open", "CLIENTNAME")
    outcome = refreshing.refresh(told.settings, as_of=JUNE, now=JUNE)
    assert "'CLIENTNAME' is unknown" in outcome.problems[0]
    (letter,), (post,) = told.letters(), told.posts()
    for message in (letter, post):
        assert "The refresh failed, 1 blocking check does not hold; the last good numbers are shown." in message
        assert "Check staging/invoices contract: 1 row breaks it." in message
        assert "CLIENTNAME" not in message
    assert runs.newest(told.settings.data)[0].outcome == "failed"


# --- what text can do ---------------------------------------------------------------------------------------


def test_a_message_has_no_word_of_an_error_and_no_sign_that_could_do_anything(told: Told) -> None:
    hostile = "x <!channel> @here *b* _i_ `c` [l](http://evil.example) <b>h</b> &amp; | ~s~ \r\nBcc: a@b\u202e"
    told.refresh(problem=hostile, broken={f"marts/{hostile}": 2})
    (letter,), (post,) = told.letters(), told.posts()
    for message in (letter, post):
        assert not re.search(r"[<>@*`\[\]&|~\u202e\r]|://|evil\.", message)
        assert "CLIENTNAME" not in message
    assert "\nBcc" not in letter


def test_a_post_is_plain_text_to_slack_and_carries_its_words_for_others(told: Told) -> None:
    told.refresh(problem="no")
    (post,) = told.hook.posts
    assert set(post) == {"text", "mrkdwn", "blocks"}
    assert post["mrkdwn"] is False
    assert post["blocks"][0]["text"] == {"type": "plain_text", "text": post["text"], "emoji": False}


def test_a_mail_goes_to_everybody_named_and_says_that_a_machine_wrote_it(told: Told) -> None:
    told.refresh(problem="no")
    ((receivers, letter),) = told.mail.letters
    assert receivers == ["ida@studio.example", "ops@studio.example"]
    assert letter["From"] == "milepost@studio.example"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter.get_content_type() == "text/plain"


def test_names_of_sources_and_checks_stay_as_they_are() -> None:
    for name in ("studio_2", "marts/gates gate_id_is_unique", "staging/change_orders contract"):
        assert inert(name) == name


# --- servers that are guarded, down, slow or lead elsewhere -------------------------------------------------


def test_a_guarded_mail_server_is_spoken_to_in_secret_and_given_the_password(tmp_path: Path) -> None:
    with mail_server(tmp_path, is_guarded=True) as mail, webhook() as hook:
        guard = {
            "security": "starttls",
            "ca_file": tmp_path / "cert.pem",
            "user": USER.decode(),
            "password_env": "MAIL_PASSWORD",
        }
        told = prepared(tmp_path, mail, hook, **guard)
        told.refresh(problem="no")
        assert (told.warnings, mail.was_encrypted) == ([], [True])
        told.environ["MAIL_PASSWORD"] = "CANARY"
        told.refresh()
        assert re.search(r"mail server localhost:\d+: SMTP\w+.*It is tried again", told.warnings[0])
        assert "CANARY" not in told.warnings[0]
        assert len(mail.letters) == 1


def test_a_mail_server_whose_certificate_nobody_vouches_for_is_told_nothing(tmp_path: Path) -> None:
    with mail_server(tmp_path, is_guarded=True) as mail, webhook() as hook:
        guard = {"security": "starttls", "user": USER.decode(), "password_env": "MAIL_PASSWORD"}
        told = prepared(tmp_path, mail, hook, **guard)
        told.refresh(problem="no")
        assert mail.letters == []
        assert "SSLCertVerificationError" in told.warnings[0]


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda told: told.environ.pop("HOOK"), r"the environment variable HOOK is not set"),
        (lambda told: told.environ.update(HOOK="http://198.51.100.7/x"), r"its address is no https address"),
        (lambda told: told.environ.update(HOOK="SECRETPART"), r"its address is no https address"),
        (lambda told: told.environ.update(HOOK="http://127.0.0.1:9/SECRETPART"), r"ConnectError"),
        (lambda told: setattr(told.hook, "status", 500), r"it answered 500"),
        (lambda told: vars(told.hook).update(status=302, redirects_to="http://127.0.0.1:9/"), r"it answered 302"),
    ],
    ids=["not set", "in the clear", "no address", "down", "broken", "leads elsewhere"],
)
def test_a_webhook_that_fails_is_said_to_without_its_address_and_breaks_nothing(
    break_it: Any, words: str, told: Told
) -> None:
    break_it(told)
    told.refresh(problem="no")
    assert len(told.warnings) == 1
    assert re.search(words, told.warnings[0])
    assert "SECRETPART" not in told.warnings[0]
    assert len(told.letters()) == 1
    assert runs.newest(told.settings.data)[0].outcome == "failed"


def test_a_webhook_that_answers_letter_by_letter_is_given_up(told: Told) -> None:
    told.hook.drips = threading.Event()
    told.settings = told.settings.model_copy(
        update={"alerts": told.settings.alerts.model_copy(update={"timeout_seconds": 0.1, "mail": None})}
    )
    began = time.monotonic()
    told.refresh(problem="no")
    told.hook.drips.set()
    assert time.monotonic() - began < 30
    assert "webhook: it did not take the message within 0 seconds" in told.warnings[0]


def test_a_trial_tells_of_each_channel_whether_it_took_the_message(told: Told) -> None:
    told.hook.status = 500
    assert alerting.trial(told.settings, JUNE, told.environ) == {
        "mail": None,
        "webhook": "an alert was not sent, webhook: it answered 500.",
    }
    assert told.letters()[0].startswith("Milepost alerts: a trial\n")


# --- settings -----------------------------------------------------------------------------------------------

MAIL = {"server": "smtp.example.com", "sender": "a@b.example", "to": ["c@d.example"]}


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"mail": {**MAIL, "user": "u"}}, "needs password_env or password_file"),
        ({"mail": {**MAIL, "user": "u", "password_env": "P", "security": "none"}}, "not sent in the clear"),
        ({"mail": {**MAIL, "to": []}}, "at least 1 item"),
        ({"mail": {**MAIL, "to": ["a@b.example\nBcc: e@f.example"]}}, "match pattern"),
        ({"mail": {**MAIL, "server": "smtp.example.com\r\nRSET"}}, "match pattern"),
        ({"mail": {**MAIL, "password": "P"}}, "Extra inputs"),
        ({"webhook": {}}, "the address is a secret"),
        ({"webhook": {"url": "https://hooks.example.com/x"}}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_work_or_hold_a_secret_are_refused(
    block: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        Alerts.model_validate(block)


def test_the_doctor_says_of_alerts_whether_their_secrets_can_be_had(tmp_path: Path) -> None:
    settings = found(tmp_path / "data")
    assert settings.config is not None
    block = '[alerts.webhook]\nurl_env = "HOOK"\n'
    settings.config.write_text(block + settings.config.read_text("utf-8"), "utf-8")

    def said(environ: dict[str, str]) -> list[tuple[str, str]]:
        lines = doctor.examine(settings.data, settings.config, environ, JUNE)
        return [(line.mark, line.subject) for line in lines if "alerts" in line.subject]

    assert said({}) == [("✗", "alerts.webhook")]
    assert said({"HOOK": "https://hooks.example.com/x"}) == [("✓", "alerts")]


def test_alerts_are_read_from_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "milepost.toml").write_text(
        '[alerts.mail]\nserver = "smtp.example.com"\nsender = "a@b.example"\nto = ["c@d.example"]\n'
        '[alerts.webhook]\nurl_file = "hook"\n',
        "utf-8",
    )
    alerts = load(tmp_path, environ={}).alerts
    assert json.loads(alerts.model_dump_json())["mail"]["security"] == "starttls"
    assert alerting.channels(alerts) == ("mail", "webhook")
