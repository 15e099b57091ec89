# The unit of a database calls this before it starts (`check`) and after (`after`). A database that was a primary when it
# ended is started only where every other host of it answers as a standby, or a person said so here (`allow`); a standby
# always is. `ask` says what the others answer. svcops put it here: `svcops failover prepare`.

system= timeline=0                       # ours, from the control file and the branches in its log
patience=30                              # so long nobody may answer, in seconds: others may be booting, too
word=$run_dir/boot-fence-$database.allow # a person's word
LC_ALL=C PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
[ -z "$passfile" ] || export PGPASSFILE="$passfile"

# The journal takes a line that begins with <3> for an error.
say() { printf '%sboot fence: %s\n' "${JOURNAL_STREAM:+<$1>}" "$2" >&2; }
sign() { printf '`%s` (%s:%s)' "$name" "$address" "$port"; }

# Runs a program as the database's own user, who has its passwords and keys.
as_owner() {
  if [ "$(id -u)" = 0 ] && [ "$owner" != root ]; then
    home=$(getent passwd "$owner" | cut -d: -f6)
    HOME=${home:-/} setpriv --reuid "$owner" --regid "$(id -g "$owner")" --init-groups -- "$@"
  else
    "$@"
  fi
}
# One question, for so many seconds: options of psql(1) follow.
query() {
  within=$1; shift
  cd / && as_owner env PGHOST="$address" PGPORT="$port" PGUSER="$user" PGCONNECT_TIMEOUT="$within" \
    timeout $((within + 2)) "$bin/psql" -XAtqw -F ' ' "$@" < /dev/null
}

now() { read -r up rest < /proc/uptime && echo "${up%%.*}"; }

# Sets `system` and `timeline`; 1 where there is no cluster.
look_here() {
  control=$(as_owner "$bin/pg_controldata" -D "$data" 2>&1) || return 1
  system=$(printf '%s\n' "$control" | sed -n 's/^Database system identifier: *//p')
  timeline=$(printf '%s\n' "$control" | sed -n "s/^Latest checkpoint's TimeLineID: *//p")
  # a crash right after a promotion: the control file does not know of the branch yet
  for branch in "$data"/pg_wal/????????.history; do
    [ -e "$branch" ] || continue
    number=${branch##*/} && number=$((0x${number%.history}))
    [ "$number" -le "$timeline" ] || timeline=$number
  done
  [ -n "$system" ]
}

# Reads what `said` begins and ends with: system identifier and timeline, and whether it is in recovery.
read_answer() {
  their=${said%% *} rest=${said#* } branch=${rest%%[ 
]*}
  case $said in
    [0-9]*' '[0-9]*'
on') if [ "$their" != "$system" ]; then answer=stranger
      elif [ "$branch" -gt "$timeline" ]; then answer=later
      else answer=standby; fi ;;
    [0-9]*' '[0-9]*'
off') if [ "$their" != "$system" ]; then answer=stranger; else answer=primary; fi ;;
  esac
}

# Asks one host, for so many seconds. Sets `answer`: standby, primary, later, stranger, mute, starting or silent; `why` for people.
ask() {
  answer=
  said=$(query "$1" -d replication=true -c IDENTIFY_SYSTEM -c 'SHOW in_hot_standby' 2> /dev/null)
  read_answer
  if [ -z "$answer" ]; then
    as_owner "$bin/pg_isready" -q -h "$address" -p "$port" -t "$1" > /dev/null 2>&1
    case $? in
      0) # before PostgreSQL 14 only a session with a database tells
        said=$(query "$1" -d postgres \
          -c 'SELECT system_identifier, (pg_control_checkpoint()).timeline_id FROM pg_control_system()' \
          -c "SELECT CASE WHEN pg_is_in_recovery() THEN 'on' ELSE 'off' END" 2> /dev/null)
        read_answer
        [ -n "$answer" ] || answer=mute ;;
      1) answer=starting ;;
      *) answer=silent ;;
    esac
  fi
  case $answer in
    standby) why="$(sign) is a standby, on timeline $branch" ;;
    primary) why="$(sign) is the primary now, on timeline $branch" ;;
    later) why="$(sign) is a standby, but on timeline $branch: it was the primary after this one ended on timeline $timeline" ;;
    stranger) why="$(sign) answers, but is another database: its system identifier is $their, here it is $system" ;;
    mute) why="$(sign) does not say what it is: $(query "$1" -d replication=true -c IDENTIFY_SYSTEM 2>&1 | sed -n 's/^psql: error: //; s/.*failed: //; s/^FATAL: *//; /./{p;q;}')" ;;
    starting) why="$(sign) is starting or stopping, and does not say what it is" ;;
    silent) why="$(sign) does not answer" ;;
  esac
}

# Asks all others. Sets `verdict`: standby where all are, else the worst answer; `reason` and `whom` for people.
ask_all() {
  verdict=standby reason='nobody else is declared' whom=
  while read -r name address; do
    [ -n "$name" ] && [ "$name" != "$me" ] || continue
    ask "$1"
    case $answer in
      primary) verdict=primary reason=$why whom=$name; return ;;
      standby) [ "$verdict" != standby ] || { reason=$why whom=$name; } ;;
      later | stranger | mute) verdict=$answer reason=$why whom=$name ;;
      *) case $verdict in standby | silent) verdict=$answer reason=$why whom=$name ;; esac ;;
    esac
  done << HOSTS
$hosts
HOSTS
}

# A person's word, used once. Sets `words`; 1 where there is none that counts.
hear() {
  [ -n "$(find "$word" -prune -type f -user 0 ! -perm /022 -mmin -15 2> /dev/null)" ] || return 1
  words=$(head -c 500 "$word" | tr '\n' ' ')
  rm -- "$word"
}

# Short lines, the reason first: `systemctl status` shows ten, cut to the width of the terminal.
refuse_left_behind() {
  say 3 "$1: $reason"
  say 3 "this one was left behind on timeline $timeline; \`svcops failover rejoin $service\` makes it a standby of \`$whom\`"
  exit 1
}
refuse_unknown() {
  say 3 "not started: $reason"
  say 3 "this database was a primary when it ended; whether another one is the primary now cannot be known"
  say 3 "is \`$whom\` the primary? \`svcops failover rejoin $service\`; a standby that answers? \`systemctl start $unit\`"
  say 3 "who knows that it serves nobody and will not come back as a primary says so as root, then starts this one:"
  say 3 "/bin/sh $self allow 'NAME: HOW YOU KNOW'"
  exit 1
}

check() {
  if [ -e "$data/standby.signal" ]; then
    rm -f -- "$word"
    exit 0
  fi
  # nothing that could serve
  look_here || exit 0
  allowed=
  if hear; then allowed=1; fi
  start=$(now) told=
  while :; do
    ask_all 3
    waited=$(($(now) - start))
    case $verdict in
      standby) say 6 "$reason: this one starts as the primary that it was"; exit 0 ;;
      primary) refuse_left_behind 'not started' ;;
    esac
    if [ -n "$allowed" ]; then
      say 4 "$reason; this one starts as a primary nevertheless, by the word of $words"
      exit 0
    fi
    case $verdict in
      starting) [ "$waited" -lt "$patience" ] || [ "$waited" -lt "$(longest)" ] || break ;;
      silent | mute) [ "$waited" -lt "$patience" ] || break ;;
      *) break ;;
    esac
    [ -n "$told" ] || say 5 "$reason; waiting $patience s for an answer"
    told=1
    sleep 1
  done
  refuse_unknown
}

# Who starts up is waited for longer, where the unit may take as long as it likes.
longest() {
  case $(systemctl show -p TimeoutStartUSec --value "$unit" 2> /dev/null) in
    infinity) echo 600 ;;
    *) echo "$patience" ;;
  esac
}

# Recovery takes its time, and somebody may have been promoted meanwhile.
after() {
  if [ -e "$data/standby.signal" ] || ! look_here; then exit 0; fi
  ask_all 2
  if [ "$verdict" = primary ]; then refuse_left_behind 'stopped again'; fi
}

case ${1-} in
  check) check ;;
  after) after ;;
  ask)
    look_here || { say 3 "there is no database in $data"; exit 1; }
    ask_all 3
    printf '%s\n' "$reason"
    case $verdict in standby | primary | later) exit 0 ;; *) exit 1 ;; esac ;;
  allow)
    [ "$(id -u)" = 0 ] || { say 3 'only root can say so'; exit 1; }
    [ -n "${2-}" ] || { say 3 "who says so, and how is it known? /bin/sh $self allow 'NAME: HOW YOU KNOW'"; exit 2; }
    umask 022
    mkdir -p -- "$run_dir" && rm -f -- "$word" || exit 1
    printf '%s, %s: %s\n' "${SUDO_USER:-$(id -un)}" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$2" > "$word" || exit 1
    say 5 "the next start within 15 minutes may be one as a primary; nobody is believed over a host that is seen to be the primary" ;;
  *) say 3 "check, after, ask or allow expected"; exit 2 ;;
esac
