/*
row: One row per contact of a Xero organisation that anything is sold to; one that was merged points to the other.
*/
with sold_to as (
    select json_extract_string(contact, '$.ContactID') as contact_id
    from raw.invoices
    union
    select json_extract_string(contact, '$.ContactID')
    from raw.credit_notes
    union
    select json_extract_string(contact, '$.ContactID')
    from raw.quotes
)

select
    contacts.id as source_key,
    'https://go.xero.com/app/contacts/contact/' || contacts.id as source_url,
    contacts.updated_at as recorded_at,
    contacts.gone_at as deleted_at,
    contacts.name,
    contacts.default_currency as currency,
    contacts.contact_status = 'ACTIVE' as is_active,
    contacts.merged_to_contact_id as merged_into
from raw.contacts as contacts
left join sold_to on contacts.id = sold_to.contact_id
where
    sold_to.contact_id is not null
    or coalesce(contacts.is_customer, 'false') = 'true'
    or coalesce(contacts.is_supplier, 'false') <> 'true'
