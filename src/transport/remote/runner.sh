# The script of an act: its own session, its first deed is the claim, its last the end. What it runs is in "$@".
s_born() {
  S_born=-
  { IFS= read -r S_stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${S_stat##*) }
  S_born=${20}
}

# Two pipes: 3 and 4 are read from, 5 and 6 written to. A short text is given to a shell by a pipe without a name, which can
# be opened again for writing: no program is needed for it, and nothing of the disk. Where such a text lies in a file
# instead, there are pipes with names.
s_pipes() {
  command exec 3<<SVCOPS_PIPE 4<<SVCOPS_PIPE && [ -p /proc/self/fd/3 ] && [ -p /proc/self/fd/4 ] &&
pipe
SVCOPS_PIPE
pipe
SVCOPS_PIPE
    IFS= read -r S_rest <&3 && IFS= read -r S_rest <&4 &&
    command exec 5>/proc/self/fd/3 6>/proc/self/fd/4 && return
  # for reading and writing first, which waits for nobody
  LC_ALL=C mkfifo "$S_act.out.pipe" "$S_act.err.pipe" &&
    command exec 5<>"$S_act.out.pipe" 6<>"$S_act.err.pipe" 3<"$S_act.out.pipe" 4<"$S_act.err.pipe" &&
    command exec 5>"$S_act.out.pipe" 6>"$S_act.err.pipe"
} 2>/dev/null

# Keeps the first 64 KiB and the last 32 KiB of what comes and counts the rest. The limit is on this reader and not on
# the command, which neither dies of a closed pipe nor fills a disk. dd holds nothing back: what was written is there
# even while a child left behind keeps the pipe open.
s_drain() {
  trap '' XFSZ
  ulimit -c 0
  ulimit -f 128
  LC_ALL=C dd bs=4096 of="$S_act.$1" ||
    { { tee /dev/fd/3 | wc -c >"$S_act.$1.more"; } 3>&1 | tail -c 32768 >"$S_act.$1.tail"; }
} 2>/dev/null

s_refuse() {
  printf '%s\n' "$1" >"$S_act.refused"
  exit 125
}

# A script lies in a folder that only root and the login user may enter: anybody else gets a copy.
s_before() {
  S_copy=
  case $S_script:$S_user in
  /dev/null:* | *: | *:root) ;;
  *)
    S_copy=$(sudo -n -u "$S_user" -- sh -c 'umask 077; F=$(mktemp) && cat >"$F" && echo "$F"' <"$S_script" 2>/dev/null)
    [ -z "$S_copy" ] || S_script=$S_copy
    ;;
  esac
}

s_run() {
  if [ -z "$S_user" ]; then
    cd 2>/dev/null || cd /
    [ -z "$S_cwd" ] || cd -- "$S_cwd" 2>/dev/null || s_refuse "the folder \`$S_cwd\` cannot be entered"
    command -v "$1" >/dev/null 2>&1 || s_refuse "\`$1\` was not found"
    [ -z "$S_env" ] || eval "$S_env"
    exec "$@" <"$S_in"
  fi
  command -v sudo >/dev/null 2>&1 || s_refuse "\`sudo\` was not found"
  cd 2>/dev/null || cd /
  if [ -z "$S_env$S_cwd" ]; then
    exec sudo -n -u "$S_user" -- "$@" <"$S_in"
  fi
  # sudo passes no environment on, and writes the one it is told to keep into its log: so it goes before the input.
  {
    cat <<SVCOPS_PLAN
$K
$S_env
S_cwd=$S_cwd_word
[ -z "\$S_cwd" ] || cd -- "\$S_cwd" || exit 125
exec "\$@"
$K
SVCOPS_PLAN
    cat "$S_in"
  } | sudo -n -u "$S_user" -- sh -c "$S_once" svcops-act "$@"
}

# Nothing can be written: whoever waits is told by the bell that the act never began. Where the claim is its own, and so
# nobody else begins it, also by a file that needs no more than a name.
s_unable() {
  [ -z "$S_mine" ] || { true >"$S_act.full"; } 2>/dev/null
  { echo "n $S_act" >&9; } 2>/dev/null
  exit
}

s_act() {
  umask 077
  # who makes the claim has the word: the act, or who called it back
  S_mine=
  set -C
  if ! { true >"$S_act.claim"; } 2>/dev/null; then
    [ -e "$S_act.claim" ] || s_unable
    exit
  fi
  set +C
  S_mine=1
  s_born $$
  { IFS=' .' read -r S_now S_rest </proc/uptime; } 2>/dev/null || S_now=$(date +%s)
  # the end has its place on the disk before anything begins
  echo 'none  ' >"$S_act.end" || s_unable
  printf '%s %s %s %s\n' $$ "$S_born" "$S_now" "$S_boot" >"$S_act.claim" || s_unable
  s_pipes || s_unable
  # Nobody has the other end of a pipe, or it would never end; a shell that only calls a function so keeps what it closes.
  (s_drain out) <&3 3<&- 4<&- 5>&- 6>&- 9>&- &
  S_out=$!
  (s_drain err) <&4 3<&- 4<&- 5>&- 6>&- 9>&- &
  S_err=$!
  (umask "$S_mask"; s_run "$@") >&5 2>&6 3<&- 4<&- 5>&- 6>&- 9>&-
  S_code=$?
  exec 3<&- 4<&- 5>&- 6>&-
  case $S_in:$S_script in
  /dev/null:/dev/null) ;;
  *) rm -f "$S_act".S_* ;;
  esac
  [ -z "$S_copy" ] || sudo -n -u "$S_user" -- rm -f "$S_copy" </dev/null >/dev/null 2>&1
  # Into its place, so nothing of the disk is needed for it any more. A child left behind may hold a pipe open for ever:
  # who waits for the end takes it from here then.
  printf '%-6s\n' "=$S_code" 1<>"$S_act.end"
  wait $S_out
  wait $S_err
  # Only sudo knows whether it was sudo that said no; its words depend on its language.
  if [ -n "$S_user" ] && [ $S_code -eq 1 ] && [ ! -s "$S_act.out" ]; then
    sudo -n -l -u "$S_user" -- "$@" </dev/null >/dev/null 2>&1 || : >"$S_act.refused"
  fi
  printf '%-6s\n' $S_code 1<>"$S_act.end"
  # for who waits for it
  { echo e >&9; } 2>/dev/null
}
