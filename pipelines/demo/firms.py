"""The three simulated firms: who works there, who their clients are and what they call things.

What stays out: time and money; those are drawn project by project.
"""

from __future__ import annotations

from dataclasses import dataclass

PEOPLE = (
    "Marisol Vega", "Dev Okafor", "Ingrid Solheim", "Theo Lindqvist", "Amara Nwosu", "Jonas Becker",
    "Priya Raman", "Callum Reid", "Sofia Marchetti", "Hana Kobayashi", "Luca Ferrant", "Noor Haddad",
    "Elif Demir", "Owen Hartley", "Greta Vogel", "Mateo Cruz", "Yara Haddon", "Felix Brandt",
    "Nadia Petrov", "Samuel Osei", "Clara Whitcombe", "Rafael Prado", "Mina Sato", "Tobias Krüger",
    "Leila Amini", "Ewan Douglas", "Beatriz Lobo", "Arjun Mehta", "Freya Nilsen", "Idris Bello",
    "Paula Jensen", "Viktor Hale", "Zoe Tremblay", "Karim Aziz", "Anneke de Wit", "Hugo Laurent",
    "Rosa Delgado", "Simon Achterberg", "Mei Tan", "Oskar Wolff",
)  # fmt: skip
_FIRST = (
    "Alder", "Kestrel", "Harbour", "Juniper", "Cobalt", "Marlow", "Tidewater", "Sable", "Northgate", "Ember",
    "Quill", "Larkspur", "Foxglove", "Ironwood", "Saltmarsh", "Beacon", "Cinder", "Willow", "Granite",
    "Meridian", "Orchard", "Pinnacle", "Redfern", "Silverline", "Thistle", "Umber", "Vesper", "Westbrook",
    "Yarrow", "Zephyr", "Aster", "Bramble", "Copperfield", "Driftwood", "Evergreen", "Fairlight", "Goldcrest",
)  # fmt: skip
_COMPANY = (
    "Robotics", "Foods", "Health", "Logistics", "Coffee Roasters", "Outdoor", "Legal", "Bank", "Hotels",
    "Analytics", "Cycles", "Textiles", "Energy", "Dental Group", "Publishing", "Ceramics", "Insurance",
    "Brewing", "Pharma", "Aviation", "Furniture", "Instruments", "Realty",
)  # fmt: skip
_FAMILIES = (
    "Abernathy", "Castellanos", "Dunmore", "Eriksen", "Fontaine", "Gallagher", "Hollis", "Ibarra", "Jankowski",
    "Kincaid", "Lindholm", "Mbeki", "Navarro", "O'Leary", "Pemberton", "Quigley", "Rosenthal", "Sandoval",
    "Takahashi", "Underwood", "Valdez", "Winslow", "Xiong", "Yoder", "Zimmerman", "Ashworth", "Bellamy",
    "Corrigan", "Delacroix", "Easton", "Fairchild",
)  # fmt: skip
_STREETS = (
    "Alder Lane", "Bishop Street", "Cedar Court", "Dune Road", "Elm Crescent", "Ferry Hill", "Grove Terrace",
    "Hawthorn Way", "Ivy Close", "Juniper Drive", "Kiln Row", "Larch Avenue", "Mill Race",
)  # fmt: skip
SYSTEMS = (
    "Salesforce",
    "NetSuite",
    "HubSpot",
    "Workday",
    "SAP",
    "Zendesk",
    "Shopify",
    "QuickBooks",
    "Snowflake",
)

# time zone, country, subdivision, currency it is billed in
PLACES = {
    "new york": ("America/New_York", "US", "NY", "USD"),
    "los angeles": ("America/Los_Angeles", "US", "CA", "USD"),
    "berlin": ("Europe/Berlin", "DE", "BE", "EUR"),
    "london": ("Europe/London", "GB", "ENG", "GBP"),
    "sydney": ("Australia/Sydney", "AU", "NSW", "USD"),
}
TAX_PCT = {"US": 0, "AU": 0, "DE": 19, "GB": 20}


@dataclass(frozen=True, slots=True)
class Firm:
    """One firm. `source` names its records' source; `contracts` are major units per playbook code."""

    source: str
    label: str
    kind: str
    initials: str
    places: tuple[str, ...]
    managers: tuple[str, ...]
    playbooks: tuple[str, ...]
    contracts: dict[str, tuple[int, int]]
    invoice_kind: str
    hourly_rate: int
    orders: float  # change orders a project, on average
    order_titles: tuple[str, ...]
    order_reasons: tuple[str | None, ...]
    extra_titles: tuple[str, ...]
    slip_reasons: tuple[str | None, ...]


NORTHLIGHT = Firm(
    source="northlight",
    label="Northlight Studio",
    kind="branding agency",
    initials="NL",
    places=("new york", "london", "berlin", "los angeles", "sydney"),
    managers=PEOPLE[0:6],
    playbooks=("brand_identity", "brand_identity", "brand_refresh"),
    contracts={"brand_identity": (40_000, 120_000), "brand_refresh": (20_000, 60_000)},
    invoice_kind="invoice",
    hourly_rate=145,
    orders=1.3,
    order_titles=("Additional packaging range", "Second language for the guidelines", "Motion version of the mark",
                  "Trade-fair stand design", "Extra concept round", "Drop the stationery set", "Photography day"),
    order_reasons=("client request", "client request", "scope gap", "new stakeholder", None),
    extra_titles=("Logo variants after sign-off", "Unplanned deck for the board", "Extra colour studies",
                  "Social templates asked for by mail", "Copy edits beyond two rounds"),
    slip_reasons=("client feedback late", "stakeholder on leave", "extra round agreed", "team overbooked", None),
)  # fmt: skip
RELAY = Firm(
    source="relay",
    label="Relay Onboarding",
    kind="B2B SaaS implementation",
    initials="RO",
    places=("los angeles", "new york", "sydney", "berlin", "london"),
    managers=PEOPLE[6:11],
    playbooks=("saas_implementation",),
    contracts={"saas_implementation": (15_000, 90_000)},
    invoice_kind="invoice",
    hourly_rate=165,
    orders=1.1,
    order_titles=("Second CRM instance", "Single sign-on for partners", "Historic data back to 2015",
                  "Custom approval workflow", "Drop the legacy exporter", "Extra training week"),
    order_reasons=("client request", "undisclosed system", "data quality", "scope gap", None),
    extra_titles=("Cleaning duplicates in the export", "Ad-hoc report for the sponsor", "Re-running the import",
                  "Mapping of fields added after the freeze", "Weekend support call"),
    slip_reasons=("export delivered late", "access not granted", "test failed", "engineer on another project", None),
)  # fmt: skip
HEARTH = Firm(
    source="hearth",
    label="Hearth & Beam",
    kind="residential builder",
    initials="HB",
    places=("new york", "los angeles", "london", "los angeles", "new york"),
    managers=PEOPLE[11:16],
    playbooks=("custom_home", "renovation", "renovation"),
    contracts={"custom_home": (380_000, 900_000), "renovation": (150_000, 420_000)},
    invoice_kind="progress",
    hourly_rate=95,
    orders=2.8,
    order_titles=("Rock removal under the footing", "Upgrade to triple glazing", "Move the kitchen island",
                  "Steel beam in place of timber", "Delete the pergola", "Additional outlets",
                  "Heat-pump water heater"),
    order_reasons=("owner request", "unforeseen condition", "code requirement", "design error", None),
    extra_titles=("Extra haulage", "Patching outside the plan set", "Temporary heating", "Moved wall box twice",
                  "Owner-asked paint samples"),
    slip_reasons=("inspection rescheduled", "weather", "material late", "trade not available", None),
)  # fmt: skip

FIRMS = {firm.source: firm for firm in (NORTHLIGHT, RELAY, HEARTH)}

# One round of projects and the clients they are drawn from; the portfolio repeats it.
ROUND = (
    NORTHLIGHT, RELAY, HEARTH, NORTHLIGHT, RELAY, NORTHLIGHT, HEARTH, RELAY, NORTHLIGHT, RELAY,
    NORTHLIGHT, HEARTH, RELAY, NORTHLIGHT, NORTHLIGHT, RELAY, HEARTH, NORTHLIGHT, RELAY, NORTHLIGHT,
)  # fmt: skip
CLIENTS_A_ROUND = (NORTHLIGHT, NORTHLIGHT, NORTHLIGHT, RELAY, RELAY, RELAY, HEARTH, HEARTH, HEARTH)


def client_name(firm: Firm, number: int) -> str:
    """The name of the firm's client of that number; the first eight hundred all differ."""
    if firm is HEARTH:
        other = PEOPLE[number * 13 % len(PEOPLE)].split()[0]
        return f"{other} & {PEOPLE[(number * 7 + 3) % len(PEOPLE)].split()[0]} {_FAMILIES[number % len(_FAMILIES)]}"
    return f"{_FIRST[number % len(_FIRST)]} {_COMPANY[number * 5 % len(_COMPANY)]}"


def project_name(firm: Firm, playbook_label: str, client: str, number: int) -> str:
    if firm is HEARTH:
        return f"{number * 7 % 180 + 2} {_STREETS[number % len(_STREETS)]}: {playbook_label.lower()}"
    if firm is RELAY:
        return f"{client}: {SYSTEMS[number % len(SYSTEMS)]} rollout"
    return f"{playbook_label} for {client}"
