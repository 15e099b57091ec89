SELECT json_build_object('recovery', r,
  'written', CASE WHEN NOT r THEN pg_current_wal_lsn() END,
  'received', CASE WHEN r THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) END,
  'replayed', CASE WHEN r THEN pg_last_wal_replay_lsn() END,
  'delay', CASE WHEN r AND pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()
    THEN greatest(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000, 0) END,
  'last', CASE WHEN r THEN (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::bigint END,
  'paused', CASE WHEN r THEN pg_is_wal_replay_paused() END,
  'streams_from', (SELECT sender_host FROM pg_stat_wal_receiver WHERE status = 'streaming'))
FROM (SELECT pg_is_in_recovery() AS r OFFSET 0) AS s
