/*
row: One row per project with the names and terms that every other table carries or converts by.
key: [project_id]
columns:
  project_id: The project, as source:key.
  client_id: The project's client, as source:key; where it was merged, the one it was merged into.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the gate template the project follows.
  manager: Project manager.
  timezone: IANA zone in which the project's dates are taken.
  currency: Currency of the contract, ISO 4217.
  rate: Reporting currency for one unit of the contract's, on the day of signature.
  contract_amount_local: Original contract value, in the contract's currency.
  signed_at: When the contract was signed.
  kickoff_at: When work began.
*/
select
    projects.project_id,
    coalesce(clients.current_client_id, projects.client_id) as client_id,
    sources.firm,
    clients.current_client as client,
    projects.name as project,
    coalesce(projects.playbook, 'no playbook') as playbook,
    coalesce(projects.manager, 'no manager') as manager,
    projects.timezone,
    projects.currency,
    projects.rate,
    projects.contract_amount as contract_amount_local,
    projects.signed_at,
    projects.kickoff_at
from staging.projects as projects
left join marts.clients as clients on projects.client_id = clients.client_id
left join reference.sources as sources on projects.source = sources.source
where projects.reject_reason is null
