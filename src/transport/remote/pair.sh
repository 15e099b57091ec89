# What looking at a pair and changing it share. P_name P_kind P_keyfile P_certfile P_pass: set before.
# The one file of `pem` and `pkcs12` is both P_keyfile and P_certfile.
umask 077
LC_ALL=C
export LC_ALL
P_folder=${P_keyfile%/*}
P_base=$P_folder/.svcops-$P_name
P_empty=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

# Of what comes: the certificates, the first private key, and nothing else.
p_only_certs() {
  awk '/^-----BEGIN ((TRUSTED|X509) )?CERTIFICATE-----/ { on = 1 } on { print } /^-----END ((TRUSTED|X509) )?CERTIFICATE-----/ { on = 0 }'
}
p_only_key() {
  awk '/^-----BEGIN .*PRIVATE KEY-----/ && !done { on = 1 } on { print } /^-----END .*PRIVATE KEY-----/ && on { on = 0; done = 1 }'
}
# Opens a file of PKCS#12, also one of the algorithms of twenty years ago. Without a printf that some shells do not have:
# a password in an argv could be seen.
p_open() {
  openssl pkcs12 -in "$P_keyfile" -passin stdin "$@" 2>/dev/null <<SVCOPS_PASS ||
$P_pass
SVCOPS_PASS
    openssl pkcs12 -legacy -in "$P_keyfile" -passin stdin "$@" 2>/dev/null <<SVCOPS_PASS
$P_pass
SVCOPS_PASS
}
p_key() {
  case $P_kind in
  pkcs12) p_open -nodes -nocerts | p_only_key ;;
  *) p_only_key <"$P_keyfile" ;;
  esac
}
p_certs() {
  case $P_kind in
  pkcs12) p_open -nokeys | p_only_certs ;;
  *) p_only_certs <"$P_certfile" ;;
  esac
}
# The name of the public half of a private key that comes: SHA-256 of its SubjectPublicKeyInfo. None where it does not
# read; nobody is asked for a password.
p_spki() {
  P_sum=$(openssl pkey -passin pass: -pubout -outform DER 2>/dev/null | sha256sum)
  P_sum=${P_sum%% *}
  [ "$P_sum" = "$P_empty" ] || printf '%s\n' "$P_sum"
}
