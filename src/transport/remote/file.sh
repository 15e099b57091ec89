# The facts of the file $1: `none`, `bad WHY`, or `file SIZE MODE OWNER GROUP HASH` and `link WHERE`.
F_facts=$(LC_ALL=C stat -L -c '%s %a %U %G' -- "$1" 2>&1) || case $F_facts in
*'No such file'* | *'Not a directory'*)
  echo none
  exit 0
  ;;
*)
  printf 'bad %s\n' "${F_facts##*: }"
  exit 3
  ;;
esac
if [ -d "$1" ]; then
  echo 'bad it is a folder'
elif [ ! -f "$1" ]; then
  echo 'bad it is no regular file'
elif F_sum=$(sha256sum <"$1" 2>/dev/null); then
  printf 'file %s %s\n' "$F_facts" "${F_sum%% *}"
  [ ! -h "$1" ] || printf 'link %s\n' "$(readlink -- "$1")"
else
  echo 'bad Permission denied'
  exit 3
fi
