"""Links money to gates across tools: which client is which, which project a bill means, and what an invoice line bills.

Runs within staging: on `staging.clients`, on bills and change orders as they are received, and on
`staging.invoice_lines`. A line is linked by the first method, in the order of `reference.link_methods`, that finds
exactly one gate or change order of the line's own client; a method that finds several leaves the line to the next one.
What stays out: reading the files people write links in, and the worklists of what stays unlinked
(`marts/unlinked_lines.sql`).

| method | what is compared | confidence |
|---|---|---|
| manual | the links file: an invoice, a line of it or all, and the gate or change order; `none` for neither | 1 |
| native | the tool's own link | 1 where the tool says no other |
| field | `reference` with an id, key or number; with a name | 0.95; 0.9 |
| | the number of an invoice of one line with what a gate's own field names | 0.95 |
| number | a gate's or change order's number as a word of its own in reference, description or invoice number | 0.85 |
| text | a gate's name within the description; the longest name counts | 0.7; 0.6 where the project is not known |
"""

from __future__ import annotations

from models.build import Connection


def merge_clients(con: Connection) -> None:
    """Clients of one firm that go by one name in several tools are one: that of the first tool in the settings.

    Two clients of one tool stay two, whatever their names; where the first tool has two of that name, none is merged.
    """
    con.execute(_SAME_CLIENTS)


def name_projects(con: Connection) -> None:
    """A bill or change order in `incoming` that names its project means the one of its firm that goes by that name.

    So books that know projects by name alone, as a tag or a tracking category, meet the tool that runs them. A key
    stays a key; a name that two projects go by stays as it is, and is listed.
    """
    con.execute(_NAMED_PROJECTS)


def link_lines(con: Connection) -> None:
    """Fills milestone_id, change_order_id, link_method and link_confidence of admitted invoice lines.

    Expects clients, projects, milestones, change orders and invoices to be staged.
    """
    methods = con.execute("select method, pattern from reference.link_methods order by position").fetchall()
    if not methods:
        return
    con.execute(_NATIVE)
    con.execute(_TARGETS)
    is_native_past = False
    for method, pattern in methods:
        if method == "native":
            is_native_past = True
            continue
        con.execute(_LINES, {"all": not is_native_past})
        finding = _FINDING[method]
        told = {"pattern": pattern} if "$pattern" in finding else None
        con.execute(f"create or replace temp table found as {finding}", told)
        con.execute(_LINK, {"method": method})
    con.execute("drop table if exists found; drop table if exists unlinked; drop table if exists targets")


_SAME_CLIENTS = """
with named as (
  select clients.client_id, clients.source, sources.firm, sources.position,
    coalesce(normal_name(names.same_as), normal_name(clients.name)) as name
  from staging.clients as clients
  inner join reference.sources as sources on clients.source = sources.source
  left join reference.client_names as names on normal_name(names.client) = normal_name(clients.name)
  where clients.reject_reason is null and clients.merged_into_id is null
), counted as (
  select *, count(*) over (partition by firm, name, source) as namesakes,
    min(position) over (partition by firm, name) as first_position
  from named
  where name <> ''
), firsts as (
  select firm, name, client_id, source from counted where position = first_position and namesakes = 1
)
update staging.clients as clients
set merged_into_id = firsts.client_id
from counted inner join firsts using (firm, name)
where clients.client_id = counted.client_id and counted.source <> firsts.source and counted.namesakes = 1
"""

_NAMED_PROJECTS = """
with named as (
  select sources.firm, normal_name(projects.name) as name, min(projects.project_id) as project_id
  from staging.projects as projects
  inner join reference.sources as sources on projects.source = sources.source
  where projects.reject_reason is null and projects.name <> ''
  group by all
  having count(*) = 1
)
update incoming
set project = named.project_id
from reference.sources as sources inner join named on sources.firm = named.firm
where sources.source = incoming.source and normal_name(incoming.project) = named.name
  and not exists (
    select 1 from staging.projects as projects
    where projects.project_id in (incoming.project, incoming.source || ':' || incoming.project)
  )
"""

# What a tool links itself is native where it says no other; so is the confidence in it.
_NATIVE = """
update staging.invoice_lines
set link_method = coalesce(link_method, 'native'), link_confidence = coalesce(link_confidence, 1)
where milestone_id is not null or change_order_id is not null
"""

# Everything that can be billed, under the client it counts for now.
_TARGETS = """
create or replace temp table targets as
with everything as (
  select 'gate' as kind, milestone_id as id, source_key, number, name, invoice, project_id, source
  from staging.milestones where reject_reason is null
  union all
  select 'change order', change_order_id, source_key, number, title, null, project_id, source
  from staging.change_orders where reject_reason is null
)
select everything.* exclude (source), coalesce(clients.merged_into_id, clients.client_id) as client_id,
  normal_name(everything.name) as normal, normal_name(projects.name) as project_name
from everything
inner join staging.projects as projects on everything.project_id = projects.project_id
inner join staging.clients as clients on projects.client_id = clients.client_id
where projects.reject_reason is null
"""

_LINES = """
create or replace temp table unlinked as
select lines.invoice_line_id, lines.invoice_id, lines.source_key, lines.line, lines.reference, lines.description,
  invoices.number as invoice_number, invoices.source_key as invoice_key,
  coalesce(clients.merged_into_id, clients.client_id) as client_id,
  projects.project_id, normal_name(projects.name) as project_name,
  concat_ws(' ', lines.reference, lines.description, invoices.number) as words,
  count(*) over (partition by lines.invoice_id) as lines
from staging.invoice_lines as lines
inner join staging.invoices as invoices on lines.invoice_id = invoices.invoice_id and invoices.reject_reason is null
inner join staging.clients as clients on invoices.client_id = clients.client_id
left join staging.projects as projects
  on invoices.project_id = projects.project_id and projects.reject_reason is null
where lines.reject_reason is null
  and ($all or (lines.milestone_id is null and lines.change_order_id is null and lines.link_method is null))
"""

# A line of a known project bills that project; one tool's project is another's where both go by one name.
_TOGETHER = """unlinked.client_id = targets.client_id
  and (unlinked.project_id is null or unlinked.project_id = targets.project_id
    or unlinked.project_name = targets.project_name)"""

# Rows (invoice_line_id, kind, id, confidence, place): the best place counts, if only one target stands in it.
_FINDING = {
    "manual": """
with written as (
  select *, lower(trim(coalesce(gate, change_order))) as named from reference.manual_links
)
select unlinked.invoice_line_id, coalesce(targets.kind, 'none') as kind, targets.id, 1.0 as confidence,
  case when written.line is null then 2 else 1 end as place
from unlinked
inner join written
  on written.invoice in (unlinked.invoice_id, unlinked.invoice_key, unlinked.invoice_number)
  and (written.line is null or written.line in (unlinked.invoice_line_id, unlinked.source_key, unlinked.line))
left join targets
  on unlinked.client_id = targets.client_id
  and (written.gate is null) = (targets.kind = 'change order')
  and (written.named in (lower(targets.id), lower(targets.number)) or normal_name(written.named) = targets.normal)
where written.named = 'none' or targets.id is not null
""",
    "field": f"""
select unlinked.invoice_line_id, targets.kind, targets.id,
  case when normal_name(unlinked.reference) = targets.normal then 0.9 else 0.95 end as confidence,
  case
    when unlinked.reference = targets.id then 1
    when lower(trim(unlinked.reference)) in (lower(targets.number), lower(targets.source_key)) then 2
    when normal_name(unlinked.reference) = targets.normal then 3
    else 4
  end as place
from unlinked
inner join targets on {_TOGETHER}
where unlinked.reference = targets.id
  or lower(trim(unlinked.reference)) in (lower(targets.number), lower(targets.source_key))
  or (normal_name(unlinked.reference) = targets.normal and targets.normal <> '')
  or (unlinked.lines = 1 and lower(trim(targets.invoice)) = lower(unlinked.invoice_number))
""",
    "number": f"""
with words as (
  select *, unnest(list_distinct(list_transform(
      regexp_extract_all(words, coalesce($pattern, '[\\p{{L}}\\p{{N}}]+(?:[-_./#][\\p{{L}}\\p{{N}}]+)*')),
      lambda word: lower(word)
    ))) as word
  from unlinked
)
select unlinked.invoice_line_id, targets.kind, targets.id, 0.85 as confidence, 1 as place
from words as unlinked
inner join targets on unlinked.word = lower(targets.number) and {_TOGETHER}
""",
    "text": f"""
select unlinked.invoice_line_id, targets.kind, targets.id,
  case when unlinked.project_id is null then 0.6 else 0.7 end as confidence,
  rank() over (partition by unlinked.invoice_line_id order by
    case when contains(' ' || normal_name(unlinked.words) || ' ', ' ' || targets.project_name || ' ') then 1 else 2 end,
    length(targets.normal) desc) as place
from unlinked
inner join targets
  on {_TOGETHER}
  and contains(' ' || normal_name(unlinked.description) || ' ', ' ' || targets.normal || ' ')
where targets.normal <> ''
""",
}

_LINK = """
with best as (
  select invoice_line_id, min(place) as place from found group by all
), single as (
  select found.invoice_line_id, any_value(found.kind) as kind, any_value(found.id) as id,
    max(found.confidence) as confidence
  from found inner join best using (invoice_line_id, place)
  group by all
  having count(distinct coalesce(found.id, found.kind)) = 1
)
update staging.invoice_lines as lines
set milestone_id = case when single.kind = 'gate' then single.id end,
  change_order_id = case when single.kind = 'change order' then single.id end,
  link_method = $method, link_confidence = single.confidence
from single
where lines.invoice_line_id = single.invoice_line_id
"""
