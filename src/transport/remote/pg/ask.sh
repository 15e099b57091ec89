# In the probe's shell. A shell of somebody else's that stays as long as this one, for looks at clusters: sudo costs more
# than all that is asked by it, and within an outage a look follows the other. It reads what to do from descriptor 7; its
# answer comes by 8, and the nonce after it. S_standing: who it is; `-` where there can be none.
S_standing=
s_stand() {
  case $S_standing in
  '') ;;
  "$1") return 0 ;;
  *) return 1 ;;
  esac
  S_standing=-
  S_pipe=$S_base/stand.$K
  LC_ALL=C mkfifo "$S_pipe.7" "$S_pipe.8" 2>/dev/null || return 1
  sudo -n -u "$1" -- sh <"$S_pipe.7" >"$S_pipe.8" 2>&1 &
  exec 7>"$S_pipe.7" 8<"$S_pipe.8"
  rm -f -- "$S_pipe.7" "$S_pipe.8"
  s_word "$S_pg"
  # what it may say of itself before its first answer is none of it
  s_told "S_pg=$S_word" || return 1
  S_standing=$1
}
# Has it do something, and takes its answer into S_text. Where it is gone, nobody dies of it.
s_told() {
  S_text=
  trap '' PIPE
  printf '{\n%s\necho "%s"\n} </dev/null\n' "$1" "$K" >&7 2>/dev/null
  S_code=$?
  trap - PIPE
  while [ $S_code -eq 0 ]; do
    IFS= read -r S_line <&8 || S_code=1
    [ "$S_line" != "$K" ] || return 0
    S_text=$S_text$S_line'
'
  done
  exec 7>&- 8<&-
  S_standing=-
  return 1
}
s_pg() {
  S_name=$1 S_user=$2
  shift 2
  if [ "$S_user" != "$S_standing" ] || [ -z "$S_user" ]; then
    # tried without a program first: who is root, or the cluster's own user, needs none
    if S_text=$(eval "$S_pg" 2>&1); then
      s_text "$S_name" "$S_text"
      return
    fi
  fi
  case $S_user in
  '' | "$S_login") ;;
  *)
    if s_stand "$S_user"; then
      S_words=
      for S_arg in "$@"; do
        s_word "$S_arg"
        S_words="$S_words $S_word"
      done
      if s_told "set --$S_words
eval \"\$S_pg\""; then
        s_text "$S_name" "$S_text"
        return
      fi
    fi
    ;;
  esac
  S_text=$(s_as "$S_user" sh -c "$S_pg" svcops "$@" 2>&1)
  s_text "$S_name" "$S_text"
}
