# The script of an act: its own session, its first deed is the claim, its last the end. What it runs is in "$@".
s_born() {
  S_born=-
  { IFS= read -r S_stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${S_stat##*) }
  S_born=${20}
}

# Keeps the first 64 KiB and the last 32 KiB of what comes and counts the rest. The limit is on this reader and not on
# the command, which neither dies of a closed pipe nor fills a disk. dd holds nothing back: what was written is there
# even while a child left behind keeps the pipe open.
s_drain() {
  {
    (
      trap '' XFSZ
      ulimit -c 0
      ulimit -f 128
      exec dd bs=4096 of="$1"
    ) || { { tee /dev/fd/3 | wc -c >"$1.more"; } 3>&1 | tail -c 32768 >"$1.tail"; }
  } <"$1.pipe" 2>/dev/null
  : >"$1.done"
}

s_refuse() {
  printf '%s\n' "$1" >"$S_dir/refused"
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

# Nothing can be written: whoever waits is told by the bell that the act never began.
s_unable() {
  rm -f "claim.$$" "end.$$"
  { echo "n $S_dir" >&9; } 2>/dev/null
  exit
}

s_act() {
  umask 077
  cd "$S_dir" || s_unable
  s_born $$
  { IFS=' .' read -r S_now S_rest </proc/uptime; } 2>/dev/null || S_now=$(date +%s)
  # the end has its place on the disk before anything begins
  echo 'none  ' >"end.$$" || s_unable
  printf '%s %s %s %s\n' $$ "$S_born" "$S_now" "$S_boot" >"claim.$$" || s_unable
  ln "claim.$$" claim 2>/dev/null
  S_code=$?
  if [ $S_code -ne 0 ]; then
    rm -f "claim.$$" "end.$$"
    exit
  fi
  mkfifo out.pipe err.pipe || : >refused
  s_drain out 9>&- &
  S_out=$!
  s_drain err 9>&- &
  S_err=$!
  (umask "$S_mask"; s_run "$@") >out.pipe 2>err.pipe 9>&-
  S_code=$?
  # While this is removed the pipes run dry, and mostly nothing more is to be waited for.
  rm -f "claim.$$" out.pipe err.pipe S_in.*
  if [ ! -e out.done ] || [ ! -e err.done ]; then
    # A child left behind may hold a pipe open: a second for what is still in it, and no more.
    trap 'S_held=1' USR1
    S_held=
    (
      sleep 1
      kill -s USR1 $$
    ) </dev/null >/dev/null 2>&1 &
    S_alarm=$!
    wait $S_out
    [ -n "$S_held" ] || wait $S_err
    trap '' USR1
    kill $S_alarm 2>/dev/null
  fi
  # Only sudo knows whether it was sudo that said no; its words depend on its language.
  if [ -n "$S_user" ] && [ $S_code -eq 1 ] && [ ! -s out ]; then
    sudo -n -l -u "$S_user" -- "$@" </dev/null >/dev/null 2>&1 || : >refused
  fi
  [ -z "$S_copy" ] || sudo -n -u "$S_user" -- rm -f "$S_copy" </dev/null >/dev/null 2>&1
  printf '%-6s\n' $S_code 1<>"end.$$"
  ln "end.$$" end 2>/dev/null
  # for who waits for it
  { echo e >&9; } 2>/dev/null
}
