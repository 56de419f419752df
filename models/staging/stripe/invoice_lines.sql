/*
row: One row per line of an invoice or a credit note of a Stripe account, without tax and less its discounts.
*/
with metadata_keys as (
    select
        max(case when role = 'project' then field end) as project,
        max(case when role = 'milestone' then field end) as milestone,
        max(case when role = 'change_order' then field end) as change_order,
        max(case when role = 'invoice' then field end) as invoice
    from reference.source_fields
    where source = $source
),

invoice_lines as (
    select
        invoices.id as invoice,
        invoices.updated_at,
        invoices.currency,
        invoices.metadata,
        json_extract_string(invoices.parent, '$.quote_details.quote') as quote,
        unnest(cast(cast(invoices.lines as json) as json[])) as line
    from raw.invoices as invoices
    -- what was deleted is told as another version of the API wrote it
    where invoices.deleted is null
),

named_lines as (
    select
        invoice_lines.*,
        coalesce(
            json_extract_string(line, '$.metadata."' || metadata_keys.milestone || '"'),
            json_extract_string(line, '$.metadata."' || metadata_keys.change_order || '"'),
            json_extract_string(metadata, '$."' || metadata_keys.milestone || '"'),
            json_extract_string(metadata, '$."' || metadata_keys.change_order || '"'),
            json_extract_string(metadata, '$."' || metadata_keys.invoice || '"')
        ) as reference
    from invoice_lines
    cross join metadata_keys
),

change_quotes as (
    select quotes.id
    from raw.quotes as quotes
    cross join metadata_keys
    where coalesce(json_extract_string(quotes.metadata, '$."' || metadata_keys.project || '"'), '') <> ''
),

credit_lines as (
    select
        credit_notes.id as invoice,
        credit_notes.updated_at,
        credit_notes.currency,
        credit_notes.invoice as credited,
        credit_notes.metadata,
        unnest(cast(cast(credit_notes.lines as json) as json[])) as line
    from raw.credit_notes as credit_notes
),

lines as (
    select
        named_lines.invoice,
        named_lines.updated_at,
        named_lines.currency,
        named_lines.line,
        1 as sign,
        named_lines.reference,
        case when named_lines.reference is null then change_quotes.id end as change_order
    from named_lines
    left join change_quotes on named_lines.quote = change_quotes.id
    union all
    select
        credit_lines.invoice,
        credit_lines.updated_at,
        credit_lines.currency,
        credit_lines.line,
        -1,
        coalesce(
            json_extract_string(credit_lines.metadata, '$."' || metadata_keys.milestone || '"'),
            json_extract_string(credit_lines.metadata, '$."' || metadata_keys.change_order || '"'),
            credited.reference
        ),
        case when credited.reference is null then change_quotes.id end
    from credit_lines
    cross join metadata_keys
    left join named_lines as credited
        on
            credit_lines.credited = credited.invoice
            and json_extract_string(credit_lines.line, '$.invoice_line_item')
            = json_extract_string(credited.line, '$.id')
    left join change_quotes on credited.quote = change_quotes.id
),

-- credits before tax hold the discounts too, where there are any
reduced as (
    select
        *,
        try_cast(json_extract_string(line, '$.amount') as bigint) as gross,
        list_sum(list_transform(
            cast(coalesce(
                nullif(json_extract(line, '$.pretax_credit_amounts'), 'null'),
                json_extract(line, '$.discount_amounts'),
                '[]'
            ) as json[]), lambda one: cast(json_extract_string(one, '$.amount') as bigint)
        )) as reduction,
        list_sum(list_transform(
            cast(coalesce(nullif(json_extract(line, '$.taxes'), 'null'), '[]') as json[]),
            lambda one:
            case
                when json_extract_string(one, '$.tax_behavior') = 'inclusive'
                    then cast(json_extract_string(one, '$.amount') as bigint)
                else 0
            end
        )) as tax_within
    from lines
)

select
    json_extract_string(line, '$.id') as source_key,
    updated_at as recorded_at,
    invoice,
    change_order,
    coalesce(
        major_units(
            cast(sign * (gross - coalesce(reduction, 0) - coalesce(tax_within, 0)) as varchar), currency
        ), json_extract_string(line, '$.amount')
    ) as amount,
    json_extract_string(line, '$.description') as description,
    reference
from reduced
