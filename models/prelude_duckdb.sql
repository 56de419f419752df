-- What DuckDB needs so that the models read the same on every engine: a few small functions,
-- and the tables they read beside records.
create or replace macro seconds_between(starts, ends) as (epoch_us(ends) - epoch_us(starts)) / 1000000.0;
-- Elapsed days of 86 400 s, fractions kept. Counting midnights is what date_diff does, and is wrong here.
create or replace macro days_between(starts, ends) as (epoch_us(ends) - epoch_us(starts)) / 86400000000.0;
-- The same span as a whole number of microseconds, to be added up: sums of fractions depend on their order.
create or replace macro micros_between(starts, ends) as epoch_us(ends) - epoch_us(starts);
create or replace macro micros_to_days(micros) as cast(micros as double) / 86400000000.0;
create or replace macro days_to_micros(days) as cast(round(days * 86400000000.0) as bigint);
-- Whole days from one calendar date to another.
create or replace macro dates_between(starts, ends) as (cast(ends as date) - cast(starts as date));
-- The date some calendar months after another; the last of the month where that month is shorter.
create or replace macro months_after(day, months) as
cast(cast(day as timestamp) + to_months(cast(months as integer)) as date);
-- Whole months from one calendar date to another: the 31st to the 28th of February is one.
create or replace macro whole_months_between(starts, ends) as
(year(ends) - year(starts)) * 12 + month(ends) - month(starts)
- case
    when ends < months_after(starts, (year(ends) - year(starts)) * 12 + month(ends) - month(starts)) then 1
    else 0
end;
-- The calendar date of a UTC instant in an IANA zone.
create or replace macro local_day(instant, zone) as cast(timezone(zone, timezone('UTC', instant)) as date);
-- The UTC instant at which business ends (17:00) on a calendar date in an IANA zone.
create or replace macro end_of_business(day, zone) as
timezone('UTC', timezone(zone, cast(day as timestamp) + interval 17 hour));
-- The UTC instant at which a calendar date begins in an IANA zone.
create or replace macro start_of_day(day, zone) as timezone('UTC', timezone(zone, cast(day as timestamp)));
-- Working time from a calendar's first day to an instant, in whole microseconds of working days of 24 hours: a working
-- day of 23 hours counts whole too. Differences of whole numbers add up exactly; an instant that the clock shows twice
-- may lie outside the bounds of its date.
create or replace macro share_of_day(instant, starts_at, ends_at) as least(1.0, greatest(
    0.0, (epoch_us(instant) - epoch_us(starts_at)) / cast(epoch_us(ends_at) - epoch_us(starts_at) as double)
));
create or replace macro working_position(instant, starts_at, ends_at, is_working, working_before) as
86400000000 * cast(working_before as bigint)
+ case when is_working then cast(round(86400000000.0 * share_of_day(instant, starts_at, ends_at)) as bigint) else 0 end;
-- A date written in a tool's own way, as YYYY-MM-DD; what does not fit is passed on as it is, for the contract to name.
create or replace macro day_text(written, pattern) as
coalesce(strftime(try_strptime(written, pattern), '%Y-%m-%d'), written);
-- The value of a custom field, held as JSON, as text: of an option its value, of a person or thing its name, of
-- several the first, of a written document its words.
create or replace macro option_text(held) as coalesce(
    json_extract_string(held, '$.value'), json_extract_string(held, '$.displayName'),
    json_extract_string(held, '$.name'), nullif(array_to_string(json_extract_string(held, '$..text'), ' '), '')
);
create or replace macro field_text(held) as case json_type(held)
    when 'OBJECT' then option_text(held)
    when 'ARRAY' then coalesce(option_text(json_extract(held, '$[0]')), json_extract_string(held, '$[0]'))
    else json_extract_string(held, '$')
end;
-- The events by which a gate goes from one meaning of its status to the next: none where they are the same; back from
-- an end to work is a reopening first.
create or replace macro turns(previous, meaning) as case
    when meaning = previous then []
    when previous in ('approved', 'waived', 'cancelled') and meaning = 'planned' then ['reopened']
    when previous in ('approved', 'waived', 'cancelled') and meaning in ('started', 'submitted')
        then ['reopened', meaning]
    else [meaning]
end;
-- An instant counted from 1970 in so many parts of a second, bare or as /Date(1573755038314+0000)/; what does not fit
-- is passed on as it is.
create or replace macro epoch_text(written, parts) as coalesce(
    strftime(
        try(make_timestamp(
            try_cast(regexp_extract(written, '^(?:/Date\()?(-?[0-9]+)(?:[+-][0-9]{4})?(?:\)/)?$', 1) as bigint)
            * cast(1000000 / parts as bigint)
        )), '%Y-%m-%dT%H:%M:%S.%fZ'
    ), written
);
-- The same where a tool is not sure whether it counts seconds or milliseconds; whatever is no count is passed on.
create or replace macro instant_text(written) as
epoch_text(written, case when length(written) < 12 then 1 else 1000 end);
-- Money counted in the smallest unit of its currency, in the main one: hundredths, but whole yen and thousandths of a
-- dinar. ISK and UGX count hundredths too, though they have none: so do the tools. What does not fit is passed on.
create or replace macro major_units(minor, currency) as coalesce(
    cast(try_cast(minor as decimal(18, 0)) * case
        when upper(currency) in (
            'BIF', 'CLP', 'DJF', 'GNF', 'JPY', 'KMF', 'KRW', 'MGA', 'PYG', 'RWF', 'VND', 'VUV', 'XAF', 'XOF', 'XPF'
        ) then 1.0
        when upper(currency) in ('BHD', 'JOD', 'KWD', 'OMR', 'TND') then 0.001
        else 0.01
    end as varchar), minor
);
-- A name as it is compared: lower case, accents off, whatever is neither letter nor digit as one blank, trimmed.
create or replace macro normal_name(written) as
trim(regexp_replace(lower(strip_accents(written)), '[^\p{L}\p{N}]+', ' ', 'g'));
-- How alike two compared names are, 0 to 1.
create or replace macro name_similarity(one, other) as jaro_winkler_similarity(one, other);

-- timezone, country and subdivision say where the source's firm works; null where they are the project's. currency is
-- that of money which names none.
create table if not exists reference.sources (
    position integer, -- as they stand in the settings
    source varchar,
    kind varchar,
    firm varchar,
    timezone varchar,
    country varchar,
    subdivision varchar,
    currency varchar
);
-- What a tool's own words for a gate's state mean, as normal_name has them; meaning is a type of event, or ignored.
create table if not exists reference.source_statuses (source varchar, status varchar, meaning varchar);
-- Which of a tool's custom fields, or keys of metadata, plays which role.
create table if not exists reference.source_fields (source varchar, role varchar, field varchar);
-- Reporting currency for one unit of a currency, day by day.
create table if not exists reference.rates (day date, currency varchar, rate decimal(18, 8));
create table if not exists reference.playbook_gates (
    playbook varchar, gate varchar, label varchar, sequence integer, typical_days double
);
-- Every date for which calendars are known; the weekend days and public holidays of each region in use. Countries and
-- subdivisions are '' where none is named.
create table if not exists reference.days (day date);
create table if not exists reference.weekends (country varchar, subdivision varchar, day date);
create table if not exists reference.holidays (country varchar, subdivision varchar, day date, name varchar);
-- Every name a playbook's gate goes by, as normal_name compares them; kind is code, label or alias.
create table if not exists reference.gate_names (playbook varchar, gate varchar, name varchar, kind varchar);
-- Other names that clients go by, and the links from invoices to gates that people made by hand, as they wrote them.
create table if not exists reference.client_names (client varchar, same_as varchar);
create table if not exists reference.manual_links (
    row integer, invoice varchar, line varchar, gate varchar, change_order varchar
);
-- Ways of finding what an invoice line bills, in the order they are tried; a pattern says what numbers look like.
create table if not exists reference.link_methods (position integer, method varchar, pattern varchar);
-- The firm's vocabulary of reasons for change: written, as normal_name compares it, and the reason it stands for.
create table if not exists reference.change_reasons (written varchar, reason varchar);
create table if not exists ops.pulls (
    source varchar,
    kind varchar,
    firm varchar,
    pulled_at timestamp,
    outcome varchar,
    row_count bigint,
    newest_recorded_at timestamp,
    message varchar
);
-- What was seen of a gate's terms and documents, version by version: tools overwrite it, a frozen score must not.
create table if not exists ops.gate_terms_seen (
    gate_id varchar,
    recorded_at timestamp,
    seen_at timestamp,
    approver varchar,
    acceptance_criterion varchar,
    bills_amount decimal(18, 2),
    bills_pct double,
    needs_documents boolean,
    locks_scope boolean,
    client_visible boolean,
    print varchar
);
create table if not exists ops.gate_documents_seen (
    gate_id varchar,
    document_id varchar,
    recorded_at timestamp,
    seen_at timestamp
);
