# Looks at a pair as whoever runs it. Each answer begins with a line `@WHAT …`; certificates and requests follow theirs.
# Exit code 3: somebody else may be let in.
p_look() {
  if ! command -v openssl >/dev/null 2>&1; then
    echo '@bad `openssl` is not there to look at certificates'
    return
  fi
  [ -d "$P_folder/" ] || [ -e "$P_keyfile" ] || echo "@obstacle the folder \`$P_folder\` is not there"
  P_denied=
  for P_path in "$P_keyfile" "$P_certfile"; do
    P_said=$(p_file "$P_path") || P_denied=1
    printf '@file %s\n' "$P_said"
    [ "$P_kind" = files ] || break
  done
  for P_path in "$P_base.key" "$P_base.csr" "$P_base.pem"; do
    [ ! -e "$P_path" ] || [ -r "$P_path" ] || P_denied=1
  done
  [ -z "$P_denied" ] || return 3

  if [ -f "$P_keyfile" ] && [ -s "$P_keyfile" ]; then
    if [ "$P_kind" = pkcs12 ] && ! p_open -noout; then
      echo '@obstacle it cannot be opened with its password'
    elif p_key | grep -q ENCRYPTED; then
      echo '@obstacle its key is encrypted, and a new one would not be'
    else
      P_said=$(p_key | p_spki)
      [ -n "$P_said" ] || echo '@obstacle there is no private key in it that openssl can read'
      printf '@key %s\n' "$P_said"
    fi
  fi
  if [ -f "$P_certfile" ] && [ -s "$P_certfile" ]; then
    echo @certs
    p_certs
  fi
  if [ -f "$P_base.key" ]; then
    P_said=$(p_only_key <"$P_base.key" | p_spki)
    P_sum=$(sha256sum <"$P_base.key")
    printf '@staged-key %s %s %s\n' "${P_said:-none}" "${P_sum%% *}" "$(wc -c <"$P_base.key")"
  fi
  if [ -f "$P_base.csr" ]; then
    echo @staged-request
    awk '/^-----BEGIN CERTIFICATE REQUEST-----/ { on = 1 } on { print } /^-----END CERTIFICATE REQUEST-----/ { on = 0 }' "$P_base.csr"
  fi
  if [ -f "$P_base.pem" ]; then
    P_sum=$(sha256sum <"$P_base.pem")
    printf '@staged-chain %s\n' "${P_sum%% *}"
    p_only_certs <"$P_base.pem"
  fi
}
