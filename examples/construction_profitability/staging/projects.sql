/*
row: One row per project.
*/
-- P042 stands in the file twice, word for word: the second is set aside as a duplicate.
select
    project_id as source_key,
    _file || ', row ' || _row as source_url,
    trim(client_name) as client,
    project_name as name,
    -- One template per type of project; "Tenant improvements" is Tenant Improvement. P052 has no type.
    case trim(project_type)
        when 'Commercial Renovation' then 'commercial_renovation'
        when 'Healthcare Renovation' then 'healthcare_renovation'
        when 'High-End Residential' then 'high_end_residential'
        when 'Multifamily Renovation' then 'multifamily_renovation'
        when 'Tenant Improvement' then 'tenant_improvement'
        when 'Tenant improvements' then 'tenant_improvement'
        else trim(project_type)
    end as playbook,
    trim(project_manager) as manager, -- one "Elena Martinez " with a blank
    -- "$672,000" is 672000; anything else that is no number is passed on for the contract to name
    case
        when regexp_matches(original_contract_value, '^-?[$][0-9]{1,3}(,[0-9]{3})*([.][0-9]{2})?$')
            then regexp_replace(original_contract_value, '[$,]', '', 'g')
        else original_contract_value
    end as contract_amount,
    'USD' as currency,
    day_text(actual_start_date, '%m/%d/%Y') as kickoff_at, -- no date of signature is given
    day_text(actual_completion_date, '%m/%d/%Y') as closed_at,
    case lower(trim(project_status))
        when 'complete' then 'completed'
        when 'on hold' then 'on_hold'
        else lower(trim(project_status))
    end as status
from raw.projects
