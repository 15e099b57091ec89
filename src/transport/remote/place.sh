# Puts a file at its place, or takes it away; runs as who acts. The content comes by standard input.
# P_run P_path P_hash P_undo P_mode P_owner P_group P_check: set before. Exit code 10: nothing was changed, and why.
umask 077
LC_ALL=C
P_temp=
P_said=
p_refuse() {
  [ -z "$P_temp" ] || rm -f "$P_temp"
  printf 'svcops: %s\n' "$1" >&2
  exit 10
}
p_hash() {
  P_sum=$(sha256sum <"$1") || return 1
  P_sum=${P_sum%% *}
}
# Runs a command; what it complains of becomes the reason for the refusal.
p_do() { P_said=$("$@" 2>&1) || p_refuse "$P_said"; }
p_quote() {
  P_rest=$1 P_word=
  while :; do
    case $P_rest in
    *\'*) P_word="$P_word${P_rest%%\'*}'\\''" P_rest=${P_rest#*\'} ;;
    *) break ;;
    esac
  done
  P_word="'$P_word$P_rest'"
}

if [ "$(id -u)" -eq 0 ]; then
  P_store=/var/lib/svcops/undo/$P_run
else
  P_store=${XDG_STATE_HOME:-$HOME/.local/state}/svcops/undo/$P_run
fi
# Keeps what stands at a path in the undo folder, under its hash.
p_keep() {
  p_hash "$1" || p_refuse "\`$1\` cannot be read to be kept"
  [ ! -f "$P_store/$P_sum" ] || return 0
  # what is above the undo folder may be others' too: /var/lib/svcops is
  P_said=$( (umask 022; mkdir -p -- "${P_store%/undo/*}") 2>&1) || p_refuse "$P_said"
  if [ ! -d "$P_store" ]; then
    p_do mkdir -p -- "$P_store"
    # Nobody takes back a run of a quarter ago, and keys that were replaced are among what was kept.
    find "${P_store%/*}" -mindepth 1 -maxdepth 1 -type d -mtime +90 -exec rm -rf {} + 2>/dev/null
  fi
  p_do chmod 700 "$P_store"
  P_temp=$P_store/.$P_sum.$$
  P_said=$(cat <"$1" 2>&1 >"$P_temp") || p_refuse "what stands there could not be kept: ${P_said##*: }"
  sync "$P_temp" 2>/dev/null
  p_do mv -f -- "$P_temp" "$P_store/$P_sum"
  P_temp=
}

p_remove() {
  [ -e "$P_path" ] || [ -h "$P_path" ] || exit 0
  [ ! -h "$P_path" ] || p_refuse "\`$P_path\` is a symbolic link: name the file behind it"
  [ -f "$P_path" ] || p_refuse "\`$P_path\` is not a file"
  p_keep "$P_path"
  p_do rm -f -- "$P_path"
}

p_move() {
  [ ! -e "$P_to" ] && [ ! -h "$P_to" ] || p_refuse "something is at \`$P_to\` already"
  [ ! -h "$P_path" ] || p_refuse "\`$P_path\` is a symbolic link"
  [ -f "$P_path" ] || p_refuse "there is no file at \`$P_path\`"
  p_do mv -f -- "$P_path" "$P_to"
  sync -- "${P_to%/*}" 2>/dev/null
  exit 0
}

p_write() {
  P_to=$P_path
  if [ -h "$P_path" ]; then
    P_to=$(readlink -f -- "$P_path") || p_refuse "the symbolic link \`$P_path\` leads nowhere"
  fi
  [ ! -d "$P_to" ] || p_refuse "a folder is at \`$P_to\`"
  [ ! -e "$P_to" ] || [ -f "$P_to" ] || p_refuse "\`$P_to\` is not a file"
  P_folder=${P_to%/*}
  P_folder=${P_folder:-/}
  [ -d "$P_folder" ] || p_refuse "the folder \`$P_folder\` is not there"
  P_temp=$P_folder/.${P_to##*/}.svcops-$$
  P_said=$( (set -C; : >"$P_temp") 2>&1) || {
    P_temp=
    p_refuse "the folder \`$P_folder\` cannot be written to: ${P_said##*: }"
  }
  if [ -n "$P_undo" ]; then
    [ -f "$P_store/$P_hash" ] || p_refuse "the content $P_hash is not in the undo folder \`$P_store\` (what was kept stays 90 days)"
    P_said=$(cat <"$P_store/$P_hash" 2>&1 >"$P_temp") || p_refuse "\`$P_folder\` could not take the content: ${P_said##*: }"
  else
    P_said=$(cat 2>&1 >"$P_temp") || p_refuse "\`$P_folder\` could not take the content: ${P_said##*: }"
  fi
  p_hash "$P_temp"
  [ "$P_sum" = "$P_hash" ] || p_refuse "the content did not arrive whole"
  p_attributes
  if [ -n "$P_check" ]; then
    p_quote "$P_temp"
    P_rest=$P_check P_line=
    while :; do
      case $P_rest in
      *%s*) P_line=$P_line${P_rest%%\%s*}$P_word P_rest=${P_rest#*%s} ;;
      *) break ;;
      esac
    done
    (unset LC_ALL; umask 022; exec sh -c "$P_line$P_rest") </dev/null || p_refuse "the validation ended with exit code $?"
  fi
  if [ -f "$P_to" ]; then
    P_kept=$P_temp P_temp=
    (p_keep "$P_to") || {
      rm -f -- "$P_kept"
      exit 10
    }
    P_temp=$P_kept
  fi
  sync "$P_temp" 2>/dev/null || sync
  p_do mv -f -- "$P_temp" "$P_to"
  P_temp=
  sync -- "$P_folder" 2>/dev/null
  exit 0
}

# Mode, owner, group, access list and label: those of the file that stands there, with what was asked for over them.
p_attributes() {
  P_want=
  if [ -f "$P_to" ]; then
    P_want=$(stat -c '%u:%g' -- "$P_to")
    if ! cp --attributes-only --preserve=mode,ownership,xattr -- "$P_to" "$P_temp" 2>/dev/null; then
      chown "$P_want" "$P_temp" 2>/dev/null
      p_do chmod "$(stat -c '%a' -- "$P_to")" "$P_temp"
    fi
    if command -v getfacl >/dev/null 2>&1 && command -v setfacl >/dev/null 2>&1; then
      getfacl -p -- "$P_to" 2>/dev/null | setfacl --set-file=- "$P_temp" 2>/dev/null
    fi
    if command -v chcon >/dev/null 2>&1; then chcon --reference="$P_to" "$P_temp" 2>/dev/null; fi
  else
    p_do chmod "${P_mode:-644}" "$P_temp"
    if command -v restorecon >/dev/null 2>&1; then restorecon "$P_temp" 2>/dev/null; fi
  fi
  if [ -n "$P_owner" ]; then p_do chown "$P_owner" "$P_temp"; fi
  if [ -n "$P_group" ]; then p_do chgrp "$P_group" "$P_temp"; fi
  if [ -n "$P_want" ]; then
    P_has=$(stat -c '%u:%g' "$P_temp")
    [ -n "$P_owner" ] || [ "${P_has%:*}" = "${P_want%:*}" ] || p_refuse "the owner of \`$P_to\` could not be kept"
    [ -n "$P_group" ] || [ "${P_has#*:}" = "${P_want#*:}" ] || p_refuse "the group of \`$P_to\` could not be kept"
  fi
  # a change of owner takes setuid bits away
  if [ -n "$P_mode" ]; then p_do chmod "$P_mode" "$P_temp"; fi
}
