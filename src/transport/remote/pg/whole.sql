SELECT json_build_object('recovery', r,
  'written', CASE WHEN NOT r THEN pg_current_wal_lsn() END,
  'received', CASE WHEN r THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) END,
  'replayed', CASE WHEN r THEN pg_last_wal_replay_lsn() END,
  'delay', CASE WHEN r AND pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()
    THEN greatest(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000, 0) END,
  'last', CASE WHEN r THEN (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::bigint END,
  'paused', CASE WHEN r THEN pg_is_wal_replay_paused() END,
  'streams_from', (SELECT sender_host FROM pg_stat_wal_receiver WHERE status = 'streaming'),
  'standbys', (SELECT json_agg(json_build_object('name', application_name, 'address', coalesce(host(client_addr), ''),
    'state', coalesce(state, ''), 'sync', sync_state IN ('sync', 'quorum'), 'flushed', flush_lsn, 'replayed', replay_lsn)
    ORDER BY application_name, client_addr) FROM pg_stat_replication),
  'slots', (SELECT json_agg(json_build_object('name', slot_name, 'active', active) ORDER BY slot_name)
    FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT temporary),
  'replicators', (SELECT json_agg(json_build_object('name', rolname, 'rewinds', rolsuper OR (SELECT
      coalesce(bool_and(has_function_privilege(r.oid, to_regprocedure('pg_catalog.' || f), 'execute')), false)
      FROM unnest(ARRAY['pg_ls_dir(text,boolean,boolean)', 'pg_stat_file(text,boolean)', 'pg_read_binary_file(text)',
        'pg_read_binary_file(text,bigint,bigint,boolean)']) AS f)) ORDER BY rolname)
    FROM (SELECT * FROM pg_roles WHERE rolcanlogin AND (rolreplication OR rolsuper) ORDER BY rolname LIMIT 100) AS r),
  'hints', current_setting('wal_log_hints')::boolean OR current_setting('data_checksums')::boolean,
  'conninfo', nullif(current_setting('primary_conninfo'), ''), 'slot', nullif(current_setting('primary_slot_name'), ''))
FROM (SELECT pg_is_in_recovery() AS r OFFSET 0) AS s
