/*
row: One row per gate with the playbook gate that its name in the tool stands for.
key: [gate_id]
columns:
  gate_id: The gate, as source:key.
  project_id: The gate's project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  gate_name: The gate's name in its tool.
  gate: Code of the gate in its playbook; the tool's own code where the playbook has no such gate.
  gate_label: The gate's name in its playbook, else in its tool.
  sequence: Place of the gate in its project - the tool's, else the playbook's.
  mapped_by: How the playbook gate was found - code (the tool's own), name, alias or none.
  suggested_playbook: Playbook of the gate suggested, where none was found.
  suggested_gate: Code of the playbook gate with the most similar name, where none was found and one is similar.
  similarity: How alike the two names are, 0 to 1.
fail:
  - gate_label is not null
warn:
  - mapped_by <> 'none' or playbook = 'no playbook'
*/
with placed as (
    select
        milestones.milestone_id as gate_id,
        milestones.sequence,
        milestones.name as gate_name,
        coalesce(milestones.gate, '') as tool_gate,
        labels.project_id,
        labels.client_id,
        labels.firm,
        labels.client,
        labels.project,
        labels.playbook,
        labels.manager
    from staging.milestones as milestones
    left join marts.project_labels as labels on milestones.project_id = labels.project_id
    where milestones.reject_reason is null
),

-- the same few names stand on many gates: each is compared once
written as (
    select distinct
        playbook,
        tool_gate,
        gate_name
    from placed
),

tried as (
    select
        playbook,
        tool_gate,
        gate_name,
        normal_name(tool_gate) as name,
        1 as turn
    from written
    union all
    select
        playbook,
        tool_gate,
        gate_name,
        normal_name(gate_name) as name,
        2 as turn
    from written
),

found as (
    select
        tried.playbook,
        tried.tool_gate,
        tried.gate_name,
        names.gate,
        case
            when names.gate = tried.tool_gate then 'code'
            when names.kind = 'alias' then 'alias'
            else 'name'
        end as mapped_by
    from tried
    inner join reference.gate_names as names on tried.playbook = names.playbook and tried.name = names.name
    qualify row_number() over (
        partition by tried.playbook, tried.tool_gate, tried.gate_name order by tried.turn, names.gate
    ) = 1
),

playbooks as (
    select distinct playbook
    from reference.playbook_gates
),

unfound as (
    select
        written.playbook,
        written.tool_gate,
        written.gate_name,
        normal_name(written.gate_name) as name,
        playbooks.playbook is not null as has_gates
    from written
    left join found
        on
            written.playbook = found.playbook
            and written.tool_gate = found.tool_gate
            and written.gate_name = found.gate_name
    left join playbooks on written.playbook = playbooks.playbook
    where found.gate is null
),

-- below four fifths the most similar name is a coincidence, not a suggestion
suggested as (
    select
        unfound.playbook,
        unfound.tool_gate,
        unfound.gate_name,
        names.playbook as suggested_playbook,
        names.gate as suggested_gate,
        name_similarity(unfound.name, names.name) as similarity
    from unfound
    inner join reference.gate_names as names on unfound.playbook = names.playbook or not unfound.has_gates
    where name_similarity(unfound.name, names.name) >= 0.8
    qualify row_number() over (
        partition by unfound.playbook, unfound.tool_gate, unfound.gate_name
        order by name_similarity(unfound.name, names.name) desc, names.playbook, names.gate, names.name
    ) = 1
)

select
    placed.gate_id,
    placed.project_id,
    placed.client_id,
    placed.firm,
    placed.client,
    placed.project,
    placed.playbook,
    placed.manager,
    placed.gate_name,
    coalesce(found.gate, nullif(placed.tool_gate, '')) as gate,
    coalesce(gates.label, placed.gate_name) as gate_label,
    coalesce(placed.sequence, gates.sequence) as sequence,
    coalesce(found.mapped_by, 'none') as mapped_by,
    suggested.suggested_playbook,
    suggested.suggested_gate,
    suggested.similarity
from placed
left join found
    on
        placed.playbook = found.playbook
        and placed.tool_gate = found.tool_gate
        and placed.gate_name = found.gate_name
left join reference.playbook_gates as gates on found.playbook = gates.playbook and found.gate = gates.gate
left join suggested
    on
        placed.playbook = suggested.playbook
        and placed.tool_gate = suggested.tool_gate
        and placed.gate_name = suggested.gate_name
