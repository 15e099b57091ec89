# What looking at a cluster and changing it share. P_name P_unit P_data P_config P_bin P_port P_user: set before.
umask 077
LC_ALL=C
export LC_ALL
unset PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGSERVICE PGSERVICEFILE PGOPTIONS PGPASSWORD PGPASSFILE PGSSLMODE \
  PGTARGETSESSIONATTRS PGREQUIREAUTH PGCHANNELBINDING PGCLIENTENCODING

# Whether its server is alive, by the file that it leaves in its folder: sets P_pid, P_sockets, P_at and P_status. A number
# that is another process's by now is known by the folder that it works in; where that cannot be seen it is taken for it.
p_alive() {
  P_pid= P_at= P_sockets= P_status=
  {
    read -r P_pid && read -r P_word && read -r P_word && read -r P_at && IFS= read -r P_sockets &&
      read -r P_word && read -r P_word && read -r P_status
  } 2>/dev/null <"$P_data/postmaster.pid"
  case $P_pid in
  # a server alone with one user writes its number with a sign
  -*) P_pid=${P_pid#-} ;;
  esac
  case $P_pid in '' | 0* | *[!0-9]*) return 1 ;; esac
  if [ ! -d /proc/self/. ]; then
    kill -s 0 "$P_pid" 2>/dev/null
    return
  fi
  { IFS= read -r P_word <"/proc/$P_pid/stat"; } 2>/dev/null || return 1
  case ${P_word##*) } in [ZX]*) return 1 ;; esac
  [ ! -e "/proc/$P_pid/cwd/." ] || [ "/proc/$P_pid/cwd/." -ef "$P_data/." ]
}

# Runs a program as the cluster's user: whoever owns its folder is that already.
p_as() {
  if [ -O "$P_data/." ]; then
    "$@"
    return
  fi
  if p_born && command -v setpriv >/dev/null 2>&1; then
    setpriv --reuid="$P_uid" --regid="$P_gid" --clear-groups -- "$@"
  elif command -v runuser >/dev/null 2>&1; then
    runuser -u "$P_user" -- "$@"
  else
    sudo -n -u "$P_user" -- "$@"
  fi
}
# The numbers of its user and group: as its server has them; else by their names.
p_born() {
  [ -z "$P_uid" ] || return 0
  if [ -n "$P_pid" ]; then
    while read -r P_key P_one P_rest; do
      case $P_key in
      Uid:) P_uid=$P_one ;;
      Gid:)
        P_gid=$P_one
        break
        ;;
      esac
    done 2>/dev/null <"/proc/$P_pid/status"
  fi
  if [ -z "$P_uid" ] || [ -z "$P_gid" ]; then
    P_uid=$(id -u -- "$P_user" 2>/dev/null) && P_gid=$(id -g -- "$P_user" 2>/dev/null) || P_uid=
  fi
  # nothing of a cluster's runs as root
  [ "$P_uid" != 0 ] && [ -n "$P_uid" ] && return
  P_uid=
  return 1
}
P_uid= P_gid=

# What its server answers to one question, in P_said; a server that hangs is not waited for longer than so many seconds,
# unless they are 0.
p_ask() {
  P_bound=$1
  case $P_sockets in
  /*) ;;
  *)
    P_said='it listens on no Unix socket'
    return 2
    ;;
  esac
  set -- "$P_bin/psql" -XqAtw -v ON_ERROR_STOP=1 -h "$P_sockets" -p "$P_at" -U "$P_user" -c "$2"
  P_word=
  if [ "$P_bound" != 0 ]; then
    P_word="-c statement_timeout=${P_bound}s"
    ! command -v timeout >/dev/null 2>&1 || set -- timeout $((P_bound + 1)) "$@"
  fi
  for P_db in postgres template1; do
    P_said=$(
      cd /
      export PGCONNECT_TIMEOUT=3 PGOPTIONS="$P_word" PGDATABASE=$P_db
      p_as "$@" 2>&1 </dev/null
    )
    P_code=$?
    # only a database that is not there is asked for by another name
    case $P_code:$P_said in 2:*'"postgres"'*) ;; *) break ;; esac
  done
  [ $P_code -ne 124 ] || P_said="it gave no answer within $((P_bound + 1)) s"
  return $P_code
}

# The control file, in P_control. It may be read while it is written.
p_control() {
  for P_word in 1 2 3; do
    P_control=$("$P_bin/pg_controldata" -D "$P_data" 2>&1) || return 1
    case $P_control in *WARNING:*) ;; *) return 0 ;; esac
  done
  return 1
}
