"""Makes the database that every Tryton of the tests starts as a copy of; run by Tryton's own Python, see .ci/tryton.sh.

A firm that bills its projects: a company, a chart of accounts, a fiscal year, terms and methods of payment, statuses of
tasks, and two users with a key each. What stays out: clients, projects and bills, which tests make over HTTP.
"""

from __future__ import annotations

import gc
import os
import sys
from argparse import Namespace
from datetime import date
from decimal import Decimal
from pathlib import Path

from proteus import Model, config
from trytond import admin
from trytond import config as settings
from trytond.model import ModelStorage
from trytond.modules.account.tests.tools import create_chart, create_fiscalyear, get_accounts
from trytond.modules.account_invoice.tests.tools import set_fiscalyear_invoice_sequences
from trytond.modules.company.tests.tools import create_company, get_company
from trytond.modules.currency.tests.tools import get_currency
from trytond.pool import Pool
from trytond.transaction import Transaction

NAME = "template"
MODULES = ["project_invoice", "project_plan"]
PASSWORD = "milepost"
ADMIN_KEY, READER_KEY = "a" * 64, "r" * 64
# What a group may read and not write that only reads for Milepost. A model that names no group is open to everybody.
READS = [
    "account.invoice", "account.invoice-account.move.line", "account.invoice-additional-account.move",
    "account.invoice.line", "account.move", "account.move.line", "company.company", "party.address", "party.party",
    "project.work", "project.work.invoiced_progress", "project.work.status", "timesheet.line",
]  # fmt: skip
STATUSES = {
    "In work": None,
    "In review": None,
    "Changes asked": None,
    "Approved": 1.0,
    "Rejected": None,
    "Dropped": 1.0,
}


def make(folder: Path, this_year: int) -> None:
    """Makes `template.sqlite` in a folder, for the first time or anew. Its fiscal years are those around this one."""
    file = folder / f"{NAME}.sqlite"
    file.unlink(missing_ok=True)
    file.touch()
    written = folder / "template.conf"
    written.write_text(f"[database]\nuri = sqlite://\npath = {folder}\n", "utf-8")
    (folder / "password").write_text(PASSWORD, "utf-8")
    os.environ["TRYTONPASSFILE"] = str(folder / "password")
    settings.update_etc(str(written))
    gc.disable()
    _install()
    _open_every_door()
    config.set_trytond(NAME, user="admin", config_file=str(written))
    _found_firm(this_year)
    _give_keys()


def _install() -> None:
    """The modules with their own records, which are known to be sound: checking each would take twice as long."""
    check = ModelStorage.__dict__["_validate"]
    ModelStorage._validate = classmethod(lambda *_, **__: None)
    asked = {"test_email": None, "database_names": [NAME], "update": MODULES, "languages": [], "activatedeps": True,
             "indexes": None, "update_modules_list": False, "login": "admin", "administrator": True,
             "email": "admin@example.org", "password": True, "reset_password": False, "active": True, "hostname": None,
             "export_translations": False, "validate": None, "validate_percentage": None}  # fmt: skip
    admin.run(Namespace(**asked))
    ModelStorage._validate = check


def _open_every_door() -> None:
    """The administrator of a new database belongs to no group of a module."""
    with Transaction().start(NAME, 0, context={"_check_access": False}) as transaction:
        User, Group = Pool().get("res.user"), Pool().get("res.group")
        user = User.search([("login", "=", "admin")])
        User.write(user, {"groups": [("add", [group.id for group in Group.search([])])]})
        transaction.commit()


def _found_firm(this_year: int) -> None:
    Party = Model.get("party.party")
    firm = Party(name="Reed & Partners")
    firm.save()
    create_company(party=firm)
    company = get_company()
    company.timezone = "Europe/Berlin"
    company.save()
    create_chart(company)
    year = create_fiscalyear(company, today=(date(this_year - 1, 1, 1), date(this_year + 1, 12, 31)))
    set_fiscalyear_invoice_sequences(year).click("create_period")
    accounts = get_accounts(company)
    _sell(accounts)
    _be_paid(accounts)
    _print_little()
    _judge()
    euro = get_currency("EUR")
    euro.rates.new(date=date(this_year - 1, 1, 1), rate=Decimal("0.8"))
    euro.save()


def _sell(accounts: dict[str, Model]) -> None:
    Category, Template, Uom = (
        Model.get("product.category"),
        Model.get("product.template"),
        Model.get("product.uom"),
    )
    category = Category(name="Gates", accounting=True)
    category.account_revenue = accounts["revenue"]
    category.save()
    (unit,) = Uom.find([("name", "=", "Unit")])
    unit.rounding, unit.digits = 0.01, 2
    unit.save()
    (hour,) = Uom.find([("name", "=", "Hour")])
    for name, measure, price in (("Gate", unit, "1000"), ("Hour", hour, "80")):
        sold = Template(name=name, type="service", list_price=Decimal(price))
        sold.default_uom, sold.account_category = measure, category
        sold.save()


def _be_paid(accounts: dict[str, Model]) -> None:
    Term, Method, Journal = (
        Model.get("account.invoice.payment_term"),
        Model.get("account.invoice.payment.method"),
        Model.get("account.journal"),
    )
    month = Term(name="30 days")
    month.lines.new(type="remainder").relativedeltas.new(days=30)
    month.save()
    parts = Term(name="Two parts")
    parts.lines.new(type="percent_on_total", ratio=Decimal("0.4")).relativedeltas.new(days=15)
    parts.lines.new(type="remainder").relativedeltas.new(days=60)
    parts.save()
    (cash,) = Journal.find([("type", "=", "cash")], limit=1)
    method = Method(name="Bank", journal=cash)
    method.debit_account = method.credit_account = accounts["cash"]
    method.save()
    WriteOff = Model.get("account.move.reconcile.write_off")
    (journal,) = Journal.find([("type", "=", "write-off")], limit=1) or [cash]
    off = WriteOff(name="Lost", journal=journal)
    off.debit_account = off.credit_account = accounts["expense"]
    off.save()


def _print_little() -> None:
    """Posting prints the bill: a line of text in a tenth of the time that the usual page takes."""
    Report = Model.get("ir.action.report")
    (page,) = Report.find([("report_name", "=", "account.invoice")])
    page.template_extension, page.report_content_custom = "txt", b"A bill."
    page.save()


def _judge() -> None:
    Status = Model.get("project.work.status")
    for name, progress in STATUSES.items():
        Status(name=name, progress=progress, types=["task"]).save()


def _give_keys() -> None:
    with Transaction().start(NAME, 0, context={"_check_access": False}) as transaction:
        User, Group, Application, Company, Access = map(
            Pool().get, ("res.user", "res.group", "res.user.application", "company.company", "ir.model.access")
        )
        (company,) = Company.search([])
        (group,) = Group.create([{"name": "Milepost"}])
        reading = {"perm_read": True, "perm_write": False, "perm_create": False, "perm_delete": False}
        Access.create([{"model": model, "group": group.id, **reading} for model in READS])
        told = {"name": "Milepost", "login": "milepost", "companies": [("add", [company.id])], "company": company.id}
        (reader,) = User.create([{**told, "groups": [("add", [group.id])]}])
        (root,) = User.search([("login", "=", "admin")])
        for user, key in ((root, ADMIN_KEY), (reader, READER_KEY)):
            Application.create([{"user": user.id, "application": "rest", "state": "validated", "key": key}])
        transaction.commit()


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve(), int(sys.argv[2]))
