# Looks at a cluster as whoever runs it: each answer begins with a line `@WHAT …`. Exit code 3: somebody else may be let in.
# P_depth P_peer P_peerport: set before.
# The last record of a log that nobody writes, and the last commit in it, from the latest checkpoint on.
p_tail() {
  P_from=${P_control#*'Latest checkpoint location:'} P_line=${P_control#*"Latest checkpoint's TimeLineID:"}
  P_from=${P_from%%"
"*} P_line=${P_line%%"
"*}
  set -- "$P_bin/pg_waldump" -p "$P_data/pg_wal" -s "${P_from##* }" -t "${P_line##* }"
  ! command -v timeout >/dev/null 2>&1 || set -- timeout 20 "$@"
  {
    TZ=UTC "$@" 2>/dev/null </dev/null
    # it ends with a complaint where the log does; what was cut off has no end
    [ $? -ne 124 ] || echo cut
  } | awk '/^rmgr: / { last = $0; if ($0 ~ / desc: (COMMIT|COMMIT_PREPARED) /) done = $0 } $0 == "cut" { cut = 1 }
    END { if (!cut && last != "") { print "last " last; if (done != "") print "commit " done } }'
}
# What of the control file is asked for: an answer that is short is read sooner.
p_keys() {
  for P_key in "$@"; do
    P_line=${P_control#*"$P_key:"}
    [ "$P_line" = "$P_control" ] || printf '%s:%s\n' "$P_key" "${P_line%%"
"*}"
  done
}
p_look() {
  if ! { IFS= read -r P_version <"$P_data/PG_VERSION"; } 2>/dev/null; then
    # what lies below a folder that is shut is not seen, and not absent
    P_word=$P_data
    while [ -n "$P_word" ] && [ ! -e "$P_word" ]; do P_word=${P_word%/*}; done
    if [ -d "$P_word" ] && [ ! -x "$P_word/." ]; then
      echo "@bad \`$P_data\` cannot be read: permission denied"
    elif [ -e "$P_data/PG_VERSION" ]; then
      echo "@bad \`$P_data/PG_VERSION\` cannot be read"
    fi
    return 3
  fi
  if [ ! -x "$P_bin/pg_controldata" ]; then
    echo "@bad \`$P_bin/pg_controldata\` was not found"
    return
  fi
  if [ -n "$P_peer" ]; then
    {
      "$P_bin/pg_isready" -q -t 1 -h "$P_peer" -p "$P_peerport" -d postgres -U postgres >/dev/null 2>&1
      echo "@peer $?"
    } &
  fi
  P_alive=0
  ! p_alive || P_alive=1
  P_row=
  # the control file says when recovery is over, and is not believed of a server that has yet to read it: within an outage
  # that is enough
  P_over=
  if [ "$P_depth $P_alive $P_status" = 'log 1 ready' ] && [ ! -e "$P_data/standby.signal" ] && p_control; then
    case $P_control in *'cluster state: '*' in production'*) P_over=1 ;; esac
  fi
  if [ -n "$P_over" ]; then
    P_row='@sql 0
{"recovery":false}'
  elif [ "$P_depth" != files ] && [ $P_alive = 1 ]; then
    p_ask 4 "$P_query"
    P_row="@sql $?
$P_said"
  fi
  P_code=0
  [ -n "$P_over" ] || p_control || P_code=$?
  # it may have ended, or begun, meanwhile: what the control file says belongs to what is seen of it afterwards
  P_after=0
  ! p_alive || P_after=1
  if [ $P_alive != $P_after ]; then
    p_control
    P_code=$?
    P_alive=$P_after
  fi
  P_free= P_history= P_tail=
  if [ "$P_depth" = whole ]; then
    P_free=$(df -kP -- "$P_data" 2>/dev/null)
    P_word=
    # their names begin with the timeline, of eight digits
    for P_file in "$P_data"/pg_wal/*.history; do
      case ${P_file##*/} in ????????.history) [ ! -r "$P_file" ] || P_word=$P_file ;; esac
    done
    [ -z "$P_word" ] || P_history=$(cat -- "$P_word" 2>/dev/null)
    [ $P_alive = 1 ] || P_tail=$(p_tail)
  fi
  [ -z "$P_peer" ] || wait
  printf '@version %s\n@running %s\n' "$P_version" $P_alive
  P_word=/etc/systemd/system/$P_unit
  if [ -h "$P_word" ] && [ "$P_word" -ef /dev/null ]; then echo '@masked'; fi
  [ ! -e "$P_word.d/svcops-boot-fence.conf" ] || echo '@fence'
  [ ! -e "$P_data/standby.signal" ] || echo '@standby'
  printf '@control %s\n' $P_code
  if [ $P_code = 0 ]; then
    p_keys 'Database system identifier' 'Database cluster state' 'Latest checkpoint location' \
      "Latest checkpoint's TimeLineID" 'Minimum recovery ending location' 'Bytes per WAL segment'
  else
    printf '%s\n' "$P_control"
  fi
  [ -z "$P_row" ] || printf '%s\n' "$P_row"
  if [ "$P_depth" = whole ]; then
    printf '@free\n%s\n@history\n%s\n@tail\n%s\n' "$P_free" "$P_history" "$P_tail"
    [ ! -e "$P_passfile" ] || echo '@passfile'
    # what a server is set to that does not say so itself
    case $P_row in '@sql 0'*) ;; *)
      echo '@settings'
      awk '{ l = tolower($0); sub(/^[ \t]+/, "", l) } l ~ /^primary_(conninfo|slot_name)[ \t=]/' "$P_data/postgresql.auto.conf" 2>/dev/null
      ;;
    esac
  fi
}
