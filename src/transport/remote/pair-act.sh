# Makes a key, switches a pair, brings the earlier one back, takes away what is staged. Comes behind place.sh and pair.sh.
# P_spki P_pem P_mode P_owner P_group P_algorithm P_config: set before, as far as they are needed. Exit code 10: nothing was
# changed, and why.
P_count=0
P_aways=0
p_refuse() {
  [ -z "$P_temp" ] || rm -f "$P_temp"
  p_tidy
  printf 'svcops: %s\n' "$1" >&2
  exit 10
}
# Takes away what an act that was cut off has left behind: half of a file, and keys among them.
p_tidy() {
  rm -f -- "$P_base.new-key" "$P_base.new-csr" "$P_base.new-conf" "$P_base.new-pem"
  for P_path in "$P_keyfile" "$P_certfile"; do
    p_real "$P_path"
    rm -f -- "${P_real%/*}/.svcops-$P_name.put-${P_real##*/}"
  done
}
# The file behind a symbolic link.
p_real() {
  P_real=$1
  [ ! -h "$1" ] || P_real=$(readlink -f -- "$1") || P_real=$1
}
p_ready() {
  command -v openssl >/dev/null 2>&1 || p_refuse '`openssl` was not found'
  [ -d "$P_folder/" ] || p_refuse "the folder \`$P_folder\` is not there"
  p_tidy
  P_said=$( (set -C; : >"$P_base.new-key") 2>&1) || p_refuse "the folder \`$P_folder\` cannot be written to: ${P_said##*: }"
}
p_flush() { sync -- "$@" 2>/dev/null || sync; }

p_make() {
  p_ready
  case $P_algorithm in
  p256) set -- EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:named_curve ;;
  p384) set -- EC -pkeyopt ec_paramgen_curve:P-384 -pkeyopt ec_param_enc:named_curve ;;
  ed25519) set -- ED25519 ;;
  rsa*) set -- RSA -pkeyopt "rsa_keygen_bits:${P_algorithm#rsa}" ;;
  *) p_refuse "no key of the kind \`$P_algorithm\` can be made" ;;
  esac
  # its progress is no complaint
  P_said=$(openssl genpkey -algorithm "$@" -out "$P_base.new-key" 2>&1) || p_refuse "the key could not be made: $(p_last "$P_said")"
  P_said=$( (printf '%s\n' "$P_config" >"$P_base.new-conf") 2>&1) || p_refuse "the request could not be made: ${P_said##*: }"
  # of several names the first may be too long to be a common name
  set --
  case $P_config in *'[dn]'*) ;; *) set -- -subj / ;; esac
  P_said=$(openssl req -new -key "$P_base.new-key" -config "$P_base.new-conf" -out "$P_base.new-csr" "$@" 2>&1 </dev/null) ||
    p_refuse "the request could not be made: $(p_last "$P_said")"
  [ -s "$P_base.new-key" ] && [ -s "$P_base.new-csr" ] || p_refuse 'neither key nor request could be kept: is the disk full?'
  rm -f -- "$P_base.new-conf" "$P_base.pem"
  p_flush "$P_base.new-key" "$P_base.new-csr"
  p_do mv -f -- "$P_base.new-key" "$P_base.key"
  p_done mv -f -- "$P_base.new-csr" "$P_base.csr"
  p_flush "$P_folder"
  exit 0
}
# The line of openssl's words that says most: numbers and file names of its source are none of it.
p_last() { printf '%s\n' "$1" | sed -n 's/^[^ ]*:error:[^:]*:[^:]*:[^:]*:\([^:]*\):.*/\1/p; t; /^[.+*-]*$/!p' | tail -n 1; }
# From here on something has changed: what fails now has failed.
p_done() {
  P_said=$("$@" 2>&1) && return
  printf '%s\n' "$P_said" >&2
  exit 1
}

# What comes is to stand at the path $1: staged there, with its mode, owner and label.
p_put() {
  P_count=$((P_count + 1))
  p_real "$1"
  P_to=$P_real
  [ ! -d "$P_to" ] || p_refuse "a folder is at \`$P_to\`"
  [ -d "${P_to%/*}/" ] || p_refuse "the folder \`${P_to%/*}\` is not there"
  P_temp=${P_to%/*}/.svcops-$P_name.put-${P_to##*/}
  P_said=$(cat 2>&1 >"$P_temp") || p_refuse "\`${P_to%/*}\` could not take the content: ${P_said##*: }"
  p_attributes
  eval "P_to$P_count=\$P_to P_temp$P_count=\$P_temp"
  P_temp=
}
# All at once, as far as a disk can: a power loss between the two leaves a key that is not the certificate's, which a look
# sees.
p_rename() {
  [ $P_count -lt 1 ] || p_flush "$P_temp1"
  [ $P_count -lt 2 ] || p_flush "$P_temp2"
  [ $P_count -lt 1 ] || p_do mv -f -- "$P_temp1" "$P_to1"
  [ $P_count -lt 2 ] || p_done mv -f -- "$P_temp2" "$P_to2"
  [ $P_count -lt 1 ] || p_flush "${P_to1%/*}/"
  [ $P_count -lt 2 ] || p_flush "${P_to2%/*}/"
}
p_keep_old() {
  [ -f "$1" ] || return 0
  (p_keep "$1") || {
    p_tidy
    exit 10
  }
}

p_switch() {
  p_ready
  for P_path in "$P_base.key" "$P_base.pem"; do
    [ -f "$P_path" ] || p_refuse "nothing is staged at \`$P_path\`"
  done
  [ "$(p_only_key <"$P_base.key" | p_spki)" = "$P_spki" ] || p_refuse 'the staged key is another one by now'
  p_hash "$P_base.pem"
  [ "$P_sum" = "$P_pem" ] || p_refuse 'the staged certificate is another one by now'
  P_sum=$(openssl x509 -in "$P_base.pem" -noout -pubkey 2>/dev/null | openssl pkey -pubin -outform DER 2>/dev/null | sha256sum)
  [ "${P_sum%% *}" = "$P_spki" ] || p_refuse 'the staged certificate is not the one of the staged key'
  [ -f "$P_keyfile" ] || P_mode=${P_mode:-600}
  case $P_kind in
  files)
    p_put "$P_keyfile" <"$P_base.key"
    P_mode=
    p_put "$P_certfile" <"$P_base.pem"
    ;;
  pem)
    {
      cat "$P_base.pem" "$P_base.key"
      # parameters that somebody put there for older clients
      [ ! -f "$P_keyfile" ] || awk '/^-----BEGIN DH PARAMETERS-----/ { on = 1 } on { print } /^-----END DH PARAMETERS-----/ { on = 0 }' "$P_keyfile"
    } >"$P_base.new-pem" || p_refuse "\`$P_folder\` could not take the content"
    p_put "$P_keyfile" <"$P_base.new-pem"
    ;;
  pkcs12)
    # who reads it may ask for the entry by its name
    P_alias=
    [ ! -f "$P_keyfile" ] || P_alias=$(p_open -nokeys -clcerts | sed -n 's/^ *friendlyName: //p' | head -n 1)
    P_said=$(openssl pkcs12 -export -inkey "$P_base.key" -in "$P_base.pem" -name "${P_alias:-$P_name}" -passout stdin -out "$P_base.new-pem" 2>&1 <<SVCOPS_PASS
$P_pass
SVCOPS_PASS
    ) || p_refuse "no PKCS#12 could be made: $(p_last "$P_said")"
    p_put "$P_keyfile" <"$P_base.new-pem"
    ;;
  esac
  p_real "$P_keyfile"
  p_keep_old "$P_real"
  if [ "$P_kind" = files ]; then
    p_real "$P_certfile"
    p_keep_old "$P_real"
  fi
  # on the way back it waits again, and it may be on somebody's desk
  if [ -f "$P_base.csr" ]; then
    (umask 022; mkdir -p -- "${P_store%/undo/*}") 2>/dev/null
    mkdir -p -- "$P_store" && chmod 700 "$P_store" && cp -- "$P_base.csr" "$P_store/request-$P_name"
  fi 2>/dev/null
  p_rename
  rm -f -- "$P_base.key" "$P_base.csr" "$P_base.pem" "$P_base.new-key" "$P_base.new-pem"
  p_flush "$P_folder/"
  exit 0
}

# Brings one file back: PATH HASH MODE OWNER GROUP; without a hash there was none.
p_back() {
  if [ -z "$2" ]; then
    p_real "$1"
    P_aways=$((P_aways + 1))
    eval "P_away$P_aways=\$P_real"
    return
  fi
  [ -f "$P_store/$2" ] || p_refuse "the content $2 is not in the undo folder \`$P_store\` (what was kept stays 90 days)"
  P_mode=$3 P_owner=$4 P_group=$5
  p_put "$1" <"$P_store/$2"
  p_hash "$P_store/$2"
  [ "$P_sum" = "$2" ] || p_refuse "the content $2 in the undo folder \`$P_store\` is not whole"
}
# The pair that goes away is staged again, unless it still is or is another one by now.
p_restage() {
  [ ! -e "$P_base.key" ] && [ -f "$P_keyfile" ] && [ -f "$P_certfile" ] || return 0
  [ "$(p_key | p_spki)" = "$P_spki" ] || return 0
  p_key >"$P_base.new-key" && p_certs >"$P_base.new-pem" || p_refuse "\`$P_folder\` could not take the content"
  P_sum=$(openssl x509 -in "$P_base.new-pem" -noout -pubkey 2>/dev/null | openssl pkey -pubin -outform DER 2>/dev/null | sha256sum)
  if [ "${P_sum%% *}" != "$P_spki" ]; then
    rm -f -- "$P_base.new-key" "$P_base.new-pem"
    return 0
  fi
  p_flush "$P_base.new-key" "$P_base.new-pem"
  p_do mv -f -- "$P_base.new-pem" "$P_base.pem"
  p_done mv -f -- "$P_base.new-key" "$P_base.key"
  [ ! -f "$P_store/request-$P_name" ] || cp -- "$P_store/request-$P_name" "$P_base.csr" 2>/dev/null
}
p_restored() {
  p_rename
  [ $P_aways -lt 1 ] || p_done rm -f -- "$P_away1"
  [ $P_aways -lt 2 ] || p_done rm -f -- "$P_away2"
  rm -f -- "$P_base.new-key"
  p_flush "$P_folder/"
  exit 0
}

p_drop() {
  p_tidy
  p_do rm -f -- "$P_base.key" "$P_base.csr" "$P_base.pem"
  [ ! -d "$P_folder/" ] || p_flush "$P_folder/"
  exit 0
}
