/*
row: One row per build - the instant that every table is told as of.
columns:
  as_of_at: That instant; later facts are invisible.
*/
select cast($as_of as timestamp) as as_of_at
