s_unit() {
  s_text "$1" "$(LC_ALL=C systemctl show -p LoadState,ActiveState,UnitFileState,MainPID,InvocationID,StateChangeTimestampMonotonic -- "$2" 2>&1)"
}
# As the login user if that will do: only what it may not read is read by sudo.
s_file() {
  S_text=$(eval "set -- \"\$3\"; $S_file") || {
    S_again=$(s_as "$2" sh -c "$S_file" svcops "$3" 2>&1) && S_text=$S_again
    case $S_again in bad*) S_text=$S_again ;; esac
  }
  s_text "$1" "$S_text"
}
s_socket() {
  S_user=$2
  [ ! -w "$3" ] || S_user=
  S_text=$(s_as "$S_user" sh -c "$S_socket" svcops "$3" "$4" 2>&1)
  s_text "$1" "$S_text"
}
