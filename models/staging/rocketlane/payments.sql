/*
row: One row per payment of an invoice of a Rocketlane account; what was written off is no payment.
*/
with records as (
    select
        id as invoice,
        updated_at,
        unnest(cast(cast(payments as json) as json[])) as told
    from raw.invoice_details
),

currencies as (
    select
        id,
        currency
    from raw.invoices
    qualify row_number() over (partition by id order by _dlt_valid_from desc) = 1
)

select
    json_extract_string(records.told, '$.paymentId') as source_key,
    records.updated_at as recorded_at,
    records.invoice,
    json_extract_string(records.told, '$.paymentDate') as received_at,
    json_extract_string(records.told, '$.amount') as amount,
    coalesce(json_extract_string(records.told, '$.currency'), currencies.currency, sources.currency) as currency,
    case json_extract_string(records.told, '$.paymentRecordType')
        when 'PAID' then 'received'
        else json_extract_string(records.told, '$.paymentRecordType')
    end as status
from records
left join currencies on records.invoice = currencies.id
left join reference.sources as sources on sources.source = $source
where json_extract_string(records.told, '$.paymentRecordType') <> 'WRITE_OFF'
