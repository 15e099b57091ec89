# Evaluated once in every session; after that a script is a few calls. Portable to dash, bash, busybox and mksh.
# Names begin with s_ and S_, so that nothing of a login's environment is touched. $K is the nonce of the script.
# A program that is started costs more than all that a shell does by itself: what it can do, it does.
S_mask=$(umask)
umask 077
# uid=1000(ops) gid=…; a name may be missing, and is the number then
S_seen=$(id)
S_uid=${S_seen#uid=} S_uid=${S_uid%%[!0-9]*}
S_login=${S_seen#*\(} S_login=${S_login%%\)*}
case $S_seen in "uid=$S_uid("*) ;; *) S_uid=$(id -u) S_login=$(id -un) ;; esac
S_base=/tmp/svcops-$S_uid
S_wrong=
# one that this shell has made is this user's own; one that was there may be anybody's
if [ -e "$S_base" ] || [ -h "$S_base" ] || ! mkdir -m 700 "$S_base" 2>/dev/null; then
  S_seen=$(LC_ALL=C ls -ldn "$S_base" 2>&1)
  case $S_seen in
  drwx------*)
    set -- $S_seen
    [ "$3" = "$S_uid" ] || S_wrong="\`$S_base\` belongs to somebody else"
    ;;
  *) S_wrong="\`$S_base\` cannot be trusted, a folder of mode 0700 was expected: $S_seen" ;;
  esac
fi
S_bell= S_ticks= S_own= S_reader=
if command -v setsid >/dev/null 2>&1; then
  S_own=setsid
elif command -v perl >/dev/null 2>&1; then
  S_own='perl -e "use POSIX; setsid(); exec @ARGV or exit 127"'
else
  S_wrong="neither \`setsid\` nor \`perl\` is there to put a command into a session of its own"
fi

# A process: its state, its group, and its start in clock ticks since the machine's, which with its number names it for
# good.
s_born() {
  S_born=- S_life= S_group=
  { IFS= read -r S_stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${S_stat##*) }
  S_life=$1 S_group=$3 S_born=${20}
}

# In a container the boot id is the machine's, and only process 1 is another one after a reboot.
S_boot=
{ IFS= read -r S_boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
s_born 1 && S_boot=$S_boot.$S_born
[ -n "$S_boot" ] || S_boot=$(sysctl -n kern.boottime 2>/dev/null | tr -d ' \n')
[ -n "$S_boot" ] || S_boot=$(who -b 2>/dev/null | tr -d ' \n')

# The boot together with the run's folder of receipts: what an act is announced under.
s_here() {
  S_token=
  S_times=0
  until { IFS= read -r S_token <"$S_base/$1/id"; } 2>/dev/null; do
    # who makes it is about to write it
    [ -e "$S_base/$1/id" ] && [ $S_times -lt 50 ] || break
    S_times=$((S_times + 1))
    s_nap 0.02
  done
  S_here=$S_boot/$S_token
}
# Whether an act was announced under another one: nobody can know then what became of it.
s_other() {
  [ "$S_here" != "$1" ] || return 1
  case $1 in
  "$S_boot/"*) S_other=lost ;;
  *) S_other=reboot ;;
  esac
}

# Seconds that no one sets back, where the system counts them.
s_now() {
  { IFS=' .' read -r S_now S_rest </proc/uptime; } 2>/dev/null || S_now=$(date +%s)
}

# Receipts of a month ago are nobody's any more. To look for them costs more than an act does: one session in sixteen,
# told by its nonce, takes the trouble.
s_tidy() {
  case $K in S0*) ;; *) return 0 ;; esac
  set -- "$S_base"/*
  [ -e "$1" ] || return 0
  (find "$S_base" -mindepth 1 -maxdepth 1 -mtime +30 -exec rm -rf {} + >/dev/null 2>&1 &)
}

s_nap() { sleep "$1" 2>/dev/null || sleep 1; }

# Answers: `NONCE NAME =VALUE`; `NONCE NAME <` where lines follow or bytes of any kind, up to a line that is the nonce.
s_say() { printf '%s %s =%s\n' "$K" "$1" "$2"; }
s_text() { printf '%s %s <\n%s\n%s\n' "$K" "$1" "$2" "$K"; }
s_send() {
  printf '%s %s <\n' "$K" "$1"
  [ ! -s "$2" ] || cat <"$2"
  printf '\n%s\n' "$K"
}
# A pulse shows svcops that the host is there, and ends this shell where nobody listens any more.
s_pulse() {
  printf '~\n' 2>/dev/null && return
  [ -n "$S_reader" ] || exit
  # what only reads is of no use to anybody else
  s_pulse() { :; }
  { read -r S_pid S_rest <"$S_act.claim"; } 2>/dev/null && s_finish "$S_pid" "$S_user"
  rm -rf -- "$S_act".*
  exit
}
# Waits as s_await does, for what ends with whoever asked for it. Not before its start: it would inherit the trap.
s_attend() {
  S_reader=1
  trap '' PIPE
  s_await "$@"
  trap - PIPE
  S_reader=
}

# Runs a command as another user; as the login user, without sudo.
s_as() {
  S_who=$1
  shift
  case $S_who in
  '' | "$S_login") "$@" ;;
  *) sudo -n -u "$S_who" -- "$@" ;;
  esac
}

# Whether a process group is gone. Zombies are gone; what may not be seen is not.
s_gone() {
  # mostly its first process is there
  s_born "$1" && case $S_life:$S_group in
  [ZX]:*) ;;
  *:"$1") return 1 ;;
  esac
  S_said=$(LC_ALL=C kill -s 0 -- "-$1" 2>&1) || case $S_said in
  *[Nn]o\ such\ process*) return 0 ;;
  esac
  S_group=$1 S_dead=
  for S_proc in /proc/[0-9]*/stat; do
    { IFS= read -r S_stat <"$S_proc"; } 2>/dev/null || continue
    set -- ${S_stat##*) }
    [ "$3" = "$S_group" ] || continue
    case $1 in
    [ZX]) S_dead=1 ;;
    *) return 1 ;;
    esac
  done
  [ -n "$S_dead" ]
}
s_kill() {
  kill -s "$1" -- "-$2" 2>/dev/null
  case $3 in
  '' | "$S_login") ;;
  *)
    sudo -n -u "$3" -- kill -s "$1" -- "-$2" >/dev/null 2>&1
    s_gone "$2" || sudo -n -- kill -s "$1" -- "-$2" >/dev/null 2>&1
    ;;
  esac
}
# Ends a group: asks, waits up to 5 s, kills, waits up to 5 s.
s_finish() {
  for S_signal in TERM KILL; do
    s_kill "$S_signal" "$1" "$2"
    S_times=0
    while [ $S_times -lt 60 ]; do
      s_gone "$1" && return 0
      [ $((S_times % 10)) -ne 9 ] || s_pulse
      if [ $S_times -lt 10 ]; then s_nap 0.01; else s_nap 0.1; fi
      S_times=$((S_times + 1))
    done
  done
  return 1
}

# The folder of receipts is $S_dir, and what is of one act begins there with $S_act.
s_folder() { [ -d "$S_dir" ] || LC_ALL=C mkdir -p "$S_dir"; }
# Makes an empty file, unless it is there: of many who try, one succeeds (O_EXCL), and what is to stand in it comes after.
s_make() {
  set -C
  { true >"$1"; } 2>/dev/null
  S_code=$?
  set +C
  return $S_code
}

# Who makes the claim first has the word: the act itself with its group, or a tombstone. No act begins without it.
s_tomb() {
  s_folder && s_make "$S_act.claim" || return 1
  # an empty one holds as well, where the disk is full
  echo never >"$S_act.claim"
  return 0
}
# Who has the word: sets $S_pid and what stands behind it; who made the claim may be about to write it.
s_claimed() {
  S_pid= S_times=0
  until { read -r S_pid S_then S_since S_under <"$S_act.claim"; } 2>/dev/null; do
    [ $S_times -lt 50 ] || return 1
    S_times=$((S_times + 1))
    s_nap 0.02
  done
}
# Whether the act has ended: sets $S_end. Its place on the disk holds `none` before, then `=CODE` while its output is
# still read; half of an end is none either.
s_ended() {
  S_end=
  { read -r S_end <"$S_act.end"; } 2>/dev/null
  case $S_end in
  late | cancelled) ;;
  '' | *[!0-9]*) return 1 ;;
  esac
}
# Gives an act its end, unless it has one: the exit code that it noted, else a word. In its place, as the act does.
s_close() {
  s_ended && return
  case $S_end in
  =*) S_end=${S_end#=} ;;
  *) S_end=$1 ;;
  esac
  printf '%-6s\n' "$S_end" 1<>"$S_act.end"
}

# For another user: reads what to do from standard input, and leaves the rest of it to the command.
S_once='N=$(printf "\n."); N=${N%.}; IFS= read -r K || exit; T=; G=
while IFS= read -r L; do case $L in "$K") G=1; break;; esac; T="$T$L$N"; done
case $G in 1) eval "$T";; esac'

# A pipe of this shell's own without a name, in which an act rings at its end: waiting costs nothing, and no time is lost.
# As in s_pipes, made of a text; else its name goes with the folder of receipts.
s_hang() {
  [ -z "$S_bell" ] || return 0
  {
    if command exec 9<<SVCOPS_BELL && [ -p /proc/self/fd/9 ] && read -r S_rest <&9 && command exec 9<>/proc/self/fd/9; then
bell
SVCOPS_BELL
      S_bell=1
    elif LC_ALL=C mkfifo "$S_act.bell.$K" && command exec 9<>"$S_act.bell.$K"; then
      S_bell=1
    fi
  } 2>/dev/null
}
# Rings every second for a while, as long as this shell lives.
s_tick() {
  S_ticks=1
  (
    for S_turn in 1 2 3 4 5 6 7 8 9; do
      sleep 1
      kill -s 0 $$ 2>/dev/null || exit
      echo t >&9
    done
    echo z >&9
  ) </dev/null >/dev/null 2>&1 7>&- 8<&- &
}
# Waits for the next ring; a moment, where there is no bell.
s_listen() {
  if [ -z "$S_bell" ]; then
    s_nap 0.05
    return
  fi
  [ -n "$S_ticks" ] || s_tick
  S_word= S_whose=
  read -r S_word S_whose <&9
  [ "$S_word" != z ] || S_ticks=
}

# Starts the act whose script is $S_plan. It is in a session of its own, and outlives this shell, which never waits for it. A
# shell runs nothing of a group before it has read all of it. What is the same for all acts goes by the environment: some
# shells read their input byte by byte.
s_start() {
  s_hang
  S_ring=9
  [ -n "$S_bell" ] || S_ring=2
  eval "S_runner=\$S_runner $S_own"' sh -s svcops-act >/dev/null 2>&1 9>&$S_ring 7>&- 8<&- <<SVCOPS_PLAN &
{
eval "\$S_runner"
unset S_runner
$S_plan
s_main
exit
}
SVCOPS_PLAN
'
}

# Waits for the end of the act: seconds from its start, whether it may be ended then, who it became. Sets $S_state.
s_await() {
  S_beat= S_first= S_coded= S_word= S_whose=
  until s_ended; do
    s_now
    S_first=${S_first:-$S_now}
    if [ "$S_beat" != "$S_now" ]; then
      s_pulse
      if s_judge "$@"; then return; fi
      S_beat=$S_now
    fi
    s_listen
    # the act itself says that it could not write its claim: it never began
    if [ "$S_word $S_whose" = "n $S_act" ]; then
      S_state=wrong
      return
    fi
  done
  S_state=ended
}
s_judge() {
  # it has its exit code, and a child left behind holds its output: a second for what is still in the pipe, and no more
  case $S_end in
  =*)
    S_coded=${S_coded:-$S_now}
    S_state=ended
    # two turns of the clock: at least a second
    [ $((S_now - S_coded)) -ge 2 ] || return 1
    s_close none
    s_ended
    return
    ;;
  esac
  if [ -e "$S_act.full" ]; then
    S_state=wrong
    return 0
  fi
  S_pid=
  { read -r S_pid S_then S_since S_under <"$S_act.claim"; } 2>/dev/null
  case $S_pid in
  never)
    S_state=never
    return 0
    ;;
  '')
    [ $((S_now - S_first)) -ge 10 ] || return 1
    if s_tomb; then
      S_state=unborn
    elif [ -e "$S_act.claim" ] && [ ! -s "$S_act.claim" ]; then
      # it was claimed, and the act came no further
      S_state=gone
    elif [ ! -e "$S_act.claim" ] && [ $((S_now - S_first)) -ge 20 ]; then
      # neither its sign nor a tombstone: it cannot be told from one that is yet to begin
      S_state=mute
    else
      return 1
    fi
    return 0
    ;;
  esac
  S_state=
  if [ "$S_under" != "$S_boot" ]; then
    S_state=reboot
  elif s_gone "$S_pid"; then
    S_state=gone
  elif s_born "$S_pid" && [ "$S_born" != "$S_then" ]; then
    S_state=gone
  elif [ $((S_now - S_since)) -gt "$1" ]; then
    if [ "$2" != 1 ]; then
      S_state=running
    elif s_finish "$S_pid" "$3"; then
      s_close late
    else
      S_state=stuck
    fi
  fi
  ! s_ended || S_state=ended
  [ -n "$S_state" ]
}

# All that is known of the act.
s_report() {
  s_say state "$S_state"
  [ "$S_state" != wrong ] || s_say why "no receipt can be kept in \`$S_dir\`: its disk is full or cannot be written"
  ! s_ended || s_say end "$S_end"
  for S_part in refused out out.tail out.more err err.tail err.more; do
    [ ! -f "$S_act.$S_part" ] || s_send "$S_part" "$S_act.$S_part"
  done
}

# Makes $S_plan out of the words of a command (a text) and what was set: all that the runner needs to know.
s_plan() {
  s_word "$S_act"; S_plan="K=$K S_act=$S_word"
  for S_name in boot user in script cwd env once mask; do
    eval "s_word \"\$S_$S_name\""
    S_plan="$S_plan
S_$S_name=$S_word"
  done
  s_word "$S_cwd"
  s_word "$S_word"
  S_plan="$S_plan
S_cwd_word=$S_word
s_main() { s_before; s_act $1; }"
}
s_word() {
  S_rest=$1 S_word=
  while :; do
    case $S_rest in
    *\'*) S_word="$S_word${S_rest%%\'*}'\\''" S_rest=${S_rest#*\'} ;;
    *) break ;;
    esac
  done
  S_word="'$S_word$S_rest'"
}
