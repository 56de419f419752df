/*
row: One row per gate name of a tool that no gate of its playbook goes by, with the nearest that does.
key: [firm, playbook, gate_name]
columns:
  firm: The firm that runs the projects.
  playbook: Code of the projects' gate template.
  gate_name: The gate's name in its tool; its gates count under it.
  gate_count: Gates of that name.
  project_count: Projects they stand in.
  suggested_playbook: Playbook of the gate suggested; another than the projects' own only where they have none.
  suggested_gate: Code of the gate suggested; null where no name is similar.
  suggested_label: Name of the gate suggested.
  similarity: How alike the two names are, 0 to 1.
fail:
  - gate_count >= project_count
*/
with named as (
    select
        coalesce(firm, 'no firm') as firm,
        playbook,
        gate_name,
        cast(count(*) as integer) as gate_count,
        cast(count(distinct project_id) as integer) as project_count,
        max(similarity) as similarity,
        max_by(suggested_playbook, similarity) as suggested_playbook,
        max_by(suggested_gate, similarity) as suggested_gate
    from marts.gate_labels
    where mapped_by = 'none'
    group by all
)

select
    named.firm,
    named.playbook,
    named.gate_name,
    named.gate_count,
    named.project_count,
    named.suggested_playbook,
    named.suggested_gate,
    gates.label as suggested_label,
    named.similarity
from named
left join reference.playbook_gates as gates
    on named.suggested_playbook = gates.playbook and named.suggested_gate = gates.gate
