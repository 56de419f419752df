/*
row: One row per project of a Rocketlane account, latest version.
*/
with latest as (
    select *
    from raw.projects
    qualify row_number() over (partition by id order by _dlt_valid_from desc) = 1
),

listed as (
    select
        id,
        unnest(cast(coalesce(cast(fields as json), '[]') as json[])) as field
    from latest
),

told as (
    select
        id,
        normal_name(json_extract_string(field, '$.fieldLabel')) as name,
        json_extract_string(field, '$.fieldValue') as value,
        coalesce(json_extract_string(field, '$.fieldValueLabel'), json_extract_string(field, '$.fieldValue')) as label
    from listed
),

terms as (
    select
        told.id,
        max(case when roles.role = 'contract_amount' then told.value end) as contract_amount,
        max(case when roles.role = 'signed_on' then told.value end) as signed_on,
        max(case when roles.role = 'playbook' then told.label end) as playbook
    from told
    inner join reference.source_fields as roles
        on roles.source = $source and told.name = normal_name(roles.field)
    group by told.id
),

-- the settings say what a label means of gates; of a project it means what fits
stated as (
    select
        latest.id,
        normal_name(json_extract_string(latest.status, '$.label')) as label,
        statuses.meaning
    from latest
    left join reference.source_statuses as statuses
        on
            statuses.source = $source
            and statuses.status = normal_name(json_extract_string(latest.status, '$.label'))
)

select
    latest.id as source_key,
    latest.updated_at as recorded_at,
    latest.gone_at as deleted_at,
    coalesce(json_extract_string(latest.customer, '$.companyId'), 'none') as client,
    latest.project_name as name,
    terms.playbook,
    nullif(
        concat_ws(
            ' ', json_extract_string(latest.owner, '$.firstName'), json_extract_string(latest.owner, '$.lastName')
        ), ''
    ) as manager,
    coalesce(
        terms.contract_amount, latest.project_fee,
        json_extract_string(latest.financials, '$.fixedFeeContract.fixedFee')
    ) as contract_amount,
    coalesce(latest.currency, sources.currency) as currency,
    terms.signed_on as signed_at,
    latest.start_date_actual as kickoff_at,
    latest.due_date_actual as closed_at,
    case
        when stated.meaning = 'planned' then 'planned'
        when stated.meaning = 'approved' then 'completed'
        when stated.meaning in ('cancelled', 'waived') then 'cancelled'
        when stated.meaning = 'ignored' then null
        when stated.meaning is not null then 'active'
        when stated.label = 'to do' then 'planned'
        when stated.label in ('in progress', 'blocked', 'stuck') then 'active'
        when stated.label = 'on hold' then 'on_hold'
        when stated.label = 'completed' then 'completed'
        when stated.label in ('cancelled', 'canceled') then 'cancelled'
        -- whatever else it is called, statuses of the source must say what it means
        else json_extract_string(latest.status, '$.label')
    end as status
from latest
left join terms on latest.id = terms.id
left join stated on latest.id = stated.id
left join reference.sources as sources on sources.source = $source
