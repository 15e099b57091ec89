# Changes a cluster, one deed an act. P_within (seconds; 0: as long as it takes) and what the deed needs: set before.
# Exit code 10: nothing was changed, and why. 11: it failed, and why. 12: nobody knows what becomes of it, and why.
p_refuse() {
  printf 'svcops: %s\n' "$1" >&2
  exit 10
}
p_fail() {
  printf 'svcops: %s\n' "$1" >&2
  exit 11
}
p_doubt() {
  printf 'svcops: %s\n' "$1" >&2
  exit 12
}
p_last() { printf '%s\n' "$1" | sed -n '/[^ ]/p' | tail -n 1; }
# What a program complained of, without its own name and whom it spoke to.
p_why() {
  P_word=$(p_last "$1")
  case $P_word in *' failed: '*) P_word=${P_word##* failed: } ;; esac
  P_word=${P_word#*: error: } P_word=${P_word#*ERROR:  } P_word=${P_word#*FATAL:  }
  printf '%s\n' "${P_word:-it does not say why}"
}
p_nap() { sleep 0.004 2>/dev/null || sleep 1; }
# The time that is left is over; some of it is kept to say so.
p_late() {
  [ "$P_within" != 0 ] || return 1
  { IFS=' .' read -r P_now P_rest; } 2>/dev/null </proc/uptime || P_now=$(date +%s)
  P_since=${P_since:-$P_now}
  [ $((P_now - P_since)) -ge $((P_within - 1)) ]
}
P_since=
p_late

p_there() {
  [ -x "$P_data/." ] && [ -r "$P_data/PG_VERSION" ] || p_refuse "there is no cluster in \`$P_data\` that $(id -un) can read"
  [ -x "$P_bin/pg_controldata" ] || p_refuse "\`$P_bin/pg_controldata\` was not found"
}
# What the control file calls its state, in P_state.
p_state() {
  P_state=
  p_control || return 1
  P_state=${P_control#*'Database cluster state:'}
  P_state=${P_state%%"
"*}
  while :; do case $P_state in ' '*) P_state=${P_state# } ;; *) break ;; esac; done
}
p_running() { p_alive || p_refuse "\`$P_name\` does not run"; }
p_at_rest() { ! p_alive || p_refuse "\`$P_name\` runs, as process $P_pid"; }
p_systemctl() {
  command -v systemctl >/dev/null 2>&1 || p_refuse '`systemctl` was not found'
  P_said=$(systemctl "$@" 2>&1) && return
  P_word=$(printf '%s\n' "$P_said" | sed -n '/[^ ]/p' | head -n 1)
  case $P_said in
  *'authentication required'* | *'Access denied'* | *'not found'* | *'already exists'*) p_refuse "${P_word%.}" ;;
  esac
  p_fail "${P_word%.}"
}
# Asks its server, as long as it takes; a complaint is a failure.
p_do() { p_ask 0 "$1" || p_fail "\`$P_name\` says: $(p_why "$P_said")"; }

p_checkpoint() {
  p_there
  p_running
  p_do CHECKPOINT
}

p_stop() {
  p_there
  if p_alive; then
    P_first=$P_pid
    kill -s INT "$P_pid" 2>/dev/null || ! p_alive || p_refuse "$(id -un) may not stop process $P_pid"
    while p_alive && [ "$P_pid" = "$P_first" ]; do
      ! p_late || p_fail "\`$P_name\` was told to stop and did not end within $((P_within - 1)) s"
      p_nap
    done
    ! p_alive || p_fail "\`$P_name\` was stopped and runs again: something starts it"
    p_state
    case $P_state in
    'shut down' | 'shut down in recovery') ;;
    *) p_fail "\`$P_name\` ended, but not cleanly: its control file says \`$P_state\`" ;;
    esac
    return
  fi
  p_state
  case $P_state in
  'shut down' | 'shut down in recovery') ;;
  *) p_refuse "\`$P_name\` does not run and did not end cleanly: its control file says \`$P_state\`" ;;
  esac
}

p_start() {
  p_there
  P_word=/etc/systemd/system/$P_unit
  if [ -h "$P_word" ] && [ "$P_word" -ef /dev/null ]; then p_alive || p_refuse "\`$P_unit\` is masked"; fi
  if ! p_alive; then
    # Whoever asks for the start of a former primary has seen that its peer is none: its boot fence is told so, once.
    P_word=/usr/local/lib/svcops/boot-fence-$P_name
    if [ -e "$P_word" ] && [ ! -e "$P_data/standby.signal" ]; then
      P_said=$(/bin/sh "$P_word" allow 'svcops has seen that its peer is no primary' 2>&1 </dev/null) ||
        p_refuse "the boot fence \`$P_word\` does not let \`$P_name\` start: $(p_last "$P_said")"
    fi
    p_systemctl start -- "$P_unit"
  fi
  P_times=0
  while :; do
    if p_alive; then
      P_times=0
      # it says itself when it accepts connections, or is a standby that never will
      case $P_status in ready | standby) return ;; esac
    else
      P_times=$((P_times + 1))
      [ $P_times -lt 250 ] ||
        p_fail "\`$P_unit\` was started, and no server is there: \`journalctl -u $P_unit\` says why"
    fi
    ! p_late || p_fail "\`$P_name\` was started and accepts no connections after $((P_within - 1)) s"
    p_nap
  done
}

p_promote() {
  p_there
  p_running
  p_state
  [ "$P_state" = 'in archive recovery' ] || p_refuse "\`$P_name\` is no standby that runs: its control file says \`$P_state\`"
  P_first=$P_pid
  if [ -n "$P_past" ]; then
    # one question, so that nothing is between having it and the promotion
    p_ask 4 "SELECT CASE WHEN NOT pg_is_in_recovery() THEN 'no standby'
      WHEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), '0/0') < '$P_past'
        THEN 'received ' || greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), '0/0')
      WHEN pg_promote(false) THEN 'promoted' ELSE 'not promoted' END" || {
      # whether it was told before it fell silent is not known
      case $P_code:$P_said in
      124:* | *'server closed the connection'* | *'terminating connection'* | *'connection to server was lost'*)
        p_doubt "\`$P_name\` gave no answer when it was told to promote: $(p_why "$P_said")"
        ;;
      esac
      p_refuse "\`$P_name\` says: $(p_why "$P_said")"
    }
    case $(p_last "$P_said") in
    promoted) ;;
    'received '*) p_refuse "\`$P_name\` has received the log up to ${P_said#received }, and $P_past is needed" ;;
    'no standby') p_refuse "\`$P_name\` is no standby: it is not in recovery" ;;
    *) p_fail "\`$P_name\` was told to promote, and says: $P_said" ;;
    esac
  else
    P_said=$( (: >"$P_data/promote") 2>&1) || p_refuse "\`$P_data\` cannot be written to: ${P_said##*: }"
    kill -s USR1 "$P_pid" 2>/dev/null || {
      rm -f -- "$P_data/promote"
      p_refuse "$(id -un) may not signal process $P_pid"
    }
  fi
  while :; do
    if [ ! -e "$P_data/standby.signal" ] && p_state && [ "$P_state" = 'in production' ]; then return; fi
    p_alive && [ "$P_pid" = "$P_first" ] || p_fail "\`$P_name\` ended while it was promoted: its log says why"
    # it cannot be called back, and may come to pass long after
    ! p_late || p_doubt "\`$P_name\` was told to promote, and is in recovery after $((P_within - 1)) s: its control file says \`$P_state\`"
    p_nap
  done
}

# A file of the cluster's: beside its place, and renamed. P_temp is where it is written.
p_give() {
  [ -O "$P_data/." ] || P_said=$(chown -- "$P_user:" "$1" 2>&1) || p_fail "${P_said##*: }"
}
# What the last primary_conninfo of a file in P_auto says beyond P_conninfo, behind that; the keywords in P_ours are not
# its business any more. P_quoted: as a line of that file. What it keeps may be a password: it never leaves this host, and
# stands in no argv.
P_merge='
function kept(t,  all, k, v, c, i, q) {
  while (1) {
    sub(/^[ \t]+/, "", t)
    if (t == "") return all
    if (!match(t, /^[A-Za-z_]+[ \t]*=[ \t]*/)) return ""
    k = substr(t, 1, RLENGTH)
    t = substr(t, RLENGTH + 1)
    sub(/[ \t]*=[ \t]*$/, "", k)
    q = substr(t, 1, 1) == "\047"
    v = ""
    for (i = q + 1; i <= length(t); i++) {
      c = substr(t, i, 1)
      if (c == "\\") c = substr(t, ++i, 1)
      else if (q && c == "\047" || !q && (c == " " || c == "\t")) break
      v = v c
    }
    if (q && i > length(t)) return ""
    t = substr(t, i + 1)
    if (!index(" " ENVIRON["P_ours"] " ", " " k " ")) all = all " " k "=\047" quoted(v, "\\") "\047"
  }
}
function quoted(t, by,  all, c, i) {
  for (i = 1; i <= length(t); i++) {
    c = substr(t, i, 1)
    if (c == "\\" || c == "\047") all = all (by == "" ? c : by)
    all = all c
  }
  return all
}
{ l = tolower($0); sub(/^[ \t]+/, "", l) }
l ~ /^primary_conninfo[ \t=]/ { line = $0 }
END {
  all = ENVIRON["P_conninfo"]
  at = index(line, "\047")
  if (at) {
    text = ""
    for (i = at + 1; i <= length(line); i++) {
      c = substr(line, i, 1)
      if (c == "\\") c = substr(line, ++i, 1)
      else if (c == "\047") { if (substr(line, i + 1, 1) != "\047") break; i++ }
      text = text c
    }
    all = all kept(text)
  }
  if (ENVIRON["P_quoted"] != "") all = "primary_conninfo = \047" quoted(all, "") "\047"
  print all
}'
p_merge() {
  P_word=$P_auto
  [ -e "$P_word" ] || P_word=/dev/null
  P_conninfo=$P_conninfo P_ours=$P_ours P_quoted=$1 awk "$P_merge" <"$P_word"
}
p_follow() {
  p_there
  p_at_rest
  [ -z "$P_passfile" ] || [ -f "$P_passfile" ] || p_refuse "the password file \`$P_passfile\` is not there"
  P_auto=$P_data/postgresql.auto.conf
  P_temp=$P_auto.svcops
  rm -f -- "$P_temp"
  P_said=$( (set -C; : >"$P_temp") 2>&1) || p_refuse "\`$P_data\` cannot be written to: ${P_said##*: }"
  {
    [ ! -e "$P_auto" ] ||
      awk '{ l = tolower($0); sub(/^[ \t]+/, "", l) } l !~ /^primary_(conninfo|slot_name)[ \t=]/' "$P_auto"
  } >"$P_temp" 2>/dev/null && { p_merge 1 && printf "primary_slot_name = '%s'\n" "$P_slot"; } >>"$P_temp" 2>/dev/null || {
    rm -f -- "$P_temp"
    p_refuse "\`$P_data\` could not take the settings: is its disk full?"
  }
  # first what keeps it from being a primary, whatever comes between
  if [ ! -e "$P_data/standby.signal" ]; then
    P_said=$( (: >"$P_data/standby.signal") 2>&1) || p_refuse "\`$P_data\` cannot be written to: ${P_said##*: }"
  fi
  p_give "$P_data/standby.signal"
  p_give "$P_temp"
  P_said=$(mv -f -- "$P_temp" "$P_auto" 2>&1) || p_fail "${P_said##*: }"
  sync -- "$P_auto" "$P_data/standby.signal" "$P_data" 2>/dev/null || sync
}

p_rewind() {
  p_there
  p_at_rest
  [ -x "$P_bin/pg_rewind" ] || p_refuse "\`$P_bin/pg_rewind\` was not found"
  [ -z "$P_passfile" ] || [ -f "$P_passfile" ] || p_refuse "the password file \`$P_passfile\` is not there"
  P_auto=$P_data/postgresql.auto.conf
  # nothing that is secret stands in an argv, and what else it was set to gets lost with its own file
  P_ours="$P_ours dbname application_name password sslpassword scram_client_key scram_server_key oauth_client_secret"
  P_source=$(p_merge '') && P_source="$P_source dbname=postgres" || p_refuse "\`$P_auto\` cannot be read"
  P_own=$(awk '{ l = tolower($0); sub(/^[ \t]+/, "", l) } l ~ /^primary_conninfo[ \t=]/ { own = $0 } END { print own }' \
    "$P_auto" 2>/dev/null)
  set -- --target-pgdata "$P_data" --source-server "$P_source"
  [ -z "$P_config" ] || set -- "$@" --config-file "$P_config/postgresql.conf"
  # it is a client of the new primary: libpq looks for ~/.pgpass and ~/.postgresql where HOME says
  P_home=$(getent passwd "$P_user" | cut -d : -f 6)
  P_said=$(cd "$P_data" && p_as env HOME="${P_home:-/}" "$P_bin/pg_rewind" "$@" 2>&1 </dev/null) && {
    [ -z "$P_own" ] || printf '%s\n' "$P_own" >>"$P_auto" || p_fail "\`$P_auto\` cannot be written to"
    return
  }
  # it says what it has done as it goes, and why it went no further at the end of its complaint
  P_word=$(printf '%s\n' "$P_said" | sed -n 's/^pg_rewind: error: //p; s/^.*FATAL:  //p' | head -n 1)
  p_fail "\`$P_name\` could not be rewound: $(p_why "${P_word:-$P_said}")"
}

p_make_slot() {
  p_there
  p_running
  p_do "SELECT coalesce((SELECT slot_type FROM pg_replication_slots WHERE slot_name = '$P_slot'),
    (SELECT 'made' FROM pg_create_physical_replication_slot('$P_slot', true)))"
  case $P_said in made | physical) ;; *) p_refuse "\`$P_slot\` is a $P_said slot already" ;; esac
}
p_drop_slot() {
  p_there
  p_running
  p_do "SELECT coalesce((SELECT CASE WHEN active THEN 'active' WHEN slot_type <> 'physical' THEN slot_type END
      FROM pg_replication_slots WHERE slot_name = '$P_slot'),
    (SELECT 'dropped' FROM (SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
      WHERE slot_name = '$P_slot') AS gone), 'dropped')"
  case $P_said in
  dropped) ;;
  active) p_refuse "the slot \`$P_slot\` is in use: a standby streams by it" ;;
  *) p_refuse "\`$P_slot\` is a $P_said slot" ;;
  esac
}
