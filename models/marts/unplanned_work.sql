/*
row: One row per piece of work that no plan foresaw - extra work, or a revision of a gate that had been approved.
key: [work_id]
columns:
  work_id: The piece of extra work, as source:key; for a revision its gate and attempt.
  kind: What it is - extra work, or revision (an attempt that a reopening began).
  gate_id: The gate whose scope it touches, as source:key.
  attempt: The attempt, of a revision.
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  gate_label: The gate's name in its playbook, else in its tool.
  done_at: When it was done; when a revision began.
  hours: Hours spent; not recorded of revisions.
  amount: What it is worth in the reporting currency, at the rate of the day it was done; not recorded of revisions.
  description: What was done.
  scope_locked_at: The scope lock it is held against - its gate's where that locks scope, else the project's first.
  is_after_scope_lock: True where done after that lock; null where no lock is recorded.
  covered_at: When it was first covered - by its change order's approval, or a revision by one for its gate.
  was_covered: True where it was covered when it was done.
  is_covered: True where it is covered on the as-of date.
  exposed_days: Elapsed days it was, or still is, done without an approved change order; null before a lock.
  uncovered_days: The same where it has been covered since; null while it is not.
  source_url: Where the record can be looked at.
fail:
  - was_covered is not null and is_covered is not null
  - uncovered_days is null or uncovered_days >= 0
*/
with locks as (
    select
        project_id,
        min(scope_locked_at) as locked_at
    from marts.gates
    group by project_id
),

approvals as (
    select
        gate_id,
        coalesce(decided_at, requested_at) as covered_at
    from marts.change_orders
    where status = 'approved'
),

revisions as (
    select
        attempts.gate_id,
        attempts.attempt,
        attempts.began_at as done_at,
        coalesce(gates.scope_locked_at, locks.locked_at) as locked_at,
        gates.project_id,
        gates.client_id,
        gates.firm,
        gates.client,
        gates.project,
        gates.playbook,
        gates.manager,
        gates.gate_label,
        gates.source_url,
        min(approvals.covered_at) as covered_at,
        count(approvals.gate_id) > 0 as is_covered
    from marts.gate_attempts as attempts
    inner join marts.gates as gates on attempts.gate_id = gates.gate_id
    left join locks on gates.project_id = locks.project_id
    left join approvals on attempts.gate_id = approvals.gate_id
    where attempts.opened_by = 'reopening' and gates.first_approved_at <= attempts.began_at
    group by all
),

pieces as (
    select
        extra_work_id as work_id,
        'extra work' as kind,
        gate_id,
        cast(null as integer) as attempt,
        project_id,
        client_id,
        firm,
        client,
        project,
        playbook,
        manager,
        gate_label,
        done_at,
        hours,
        amount,
        description,
        scope_locked_at,
        covered_at,
        is_covered,
        source_url
    from marts.extra_work
    union all
    select
        gate_id || ' attempt ' || cast(attempt as varchar) as work_id,
        'revision' as kind,
        gate_id,
        attempt,
        project_id,
        client_id,
        firm,
        client,
        project,
        playbook,
        manager,
        gate_label,
        done_at,
        cast(null as double) as hours,
        cast(null as decimal(18, 2)) as amount,
        'attempt ' || cast(attempt as varchar) || ', after a reopening' as description,
        locked_at as scope_locked_at,
        covered_at,
        is_covered,
        source_url
    from revisions
)

select
    work_id,
    kind,
    gate_id,
    attempt,
    project_id,
    client_id,
    firm,
    client,
    project,
    playbook,
    manager,
    gate_label,
    done_at,
    hours,
    amount,
    description,
    scope_locked_at,
    done_at > scope_locked_at as is_after_scope_lock,
    covered_at,
    is_covered and coalesce(covered_at <= done_at, false) as was_covered,
    is_covered,
    case
        when done_at > scope_locked_at then greatest(0, days_between(done_at, coalesce(covered_at, $as_of)))
    end as exposed_days,
    case
        when done_at > scope_locked_at and is_covered then greatest(0, days_between(done_at, covered_at))
    end as uncovered_days,
    source_url
from pieces
