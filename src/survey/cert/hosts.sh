# Reads the public parts of certificate files, each argument triple: path, path of its key or nothing, `pkcs12` or nothing.
# A line of standard input a triple is the password of that one. Writes, for each, lines between `file N` and `done N`.
LC_ALL=C
export LC_ALL
have() { command -v "$1" > /dev/null 2>&1; }
fits() { # fits CERT-PUBLIC, key in PEM on standard input
  half=$(openssl pkey -pubout -passin pass: 2> /dev/null) || half=
  if [ -z "$half" ] || [ -z "$1" ]; then echo 'key unread'
  elif [ "$half" = "$1" ]; then echo 'key fits'
  else echo 'key other'; fi
}
store() { # store FILE PASSWORD OPTION...: the certificate of its key first
  file=$1 word=$2; shift 2
  said=$(printf '%s\n' "$word" | openssl pkcs12 -in "$file" -nokeys -clcerts -passin stdin "$@" 2>&1) || { printf '%s\n' "$said"; return 1; }
  printf '%s\n' "$said" | blocks
  printf '%s\n' "$word" | openssl pkcs12 -in "$file" -nokeys -cacerts -passin stdin "$@" 2> /dev/null | blocks
}
blocks() { awk '/^-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----/ { on = 1 } on; /^-----END / { on = 0 }'; }
one() {
  path=$1 key=$2 kind=$3 word=$4
  if [ ! -e "$path" ]; then echo missing; return; fi
  if [ -d "$path" ]; then
    echo folder
    find -L "$path" -maxdepth 8 -type f \( -name '*.pem' -o -name '*.crt' -o -name '*.cer' -o -name '*.der' -o -name '*.p12' -o -name '*.pfx' \) 2> /dev/null | head -n 1000 | sed 's/^/entry /'
    return
  fi
  if [ ! -f "$path" ]; then echo 'bad it is no file'; return; fi
  if [ ! -r "$path" ]; then echo 'bad this user may not read it'; return; fi
  if [ -z "$kind" ] && grep -q -e '-----BEGIN ' "$path"; then
    blocks < "$path"
    [ -n "$key" ] || ! grep -q -e 'PRIVATE KEY-----' "$path" || key=$path
    [ -n "$key" ] || return
    if [ ! -e "$key" ]; then echo 'key missing'; return; fi
    if [ ! -r "$key" ]; then echo 'key unreadable'; return; fi
    if grep -q -e 'BEGIN ENCRYPTED' -e '^Proc-Type:.*ENCRYPTED' "$key"; then echo 'key encrypted'; return; fi
    if ! have openssl; then echo 'key no-openssl'; return; fi
    fits "$(openssl x509 -in "$path" -noout -pubkey 2> /dev/null)" < "$key"
    return
  fi
  if ! have openssl; then echo 'bad the program openssl reads it, and there is none there'; return; fi
  if [ -z "$kind" ] && openssl x509 -inform DER -in "$path" 2> /dev/null | blocks | grep .; then
    [ -z "$key" ] || [ ! -r "$key" ] || fits "$(openssl x509 -inform DER -in "$path" -noout -pubkey 2> /dev/null)" < "$key"
    return
  fi
  old=
  if ! said=$(store "$path" "$word"); then
    case $said in *nsupported*) old=-legacy; said=$(store "$path" "$word" -legacy) || old=no ;; *) old=no ;; esac
  fi
  if [ "$old" = no ]; then
    case $said in
      *'mac verify'* | *'nvalid password'* | *'bad decrypt'*) [ -n "$word" ] && echo 'bad it is PKCS#12, and the password is another one, or it was changed' || echo 'bad it is PKCS#12 and needs a password' ;;
      *) echo 'bad it is neither PEM nor a certificate nor PKCS#12' ;;
    esac
    return
  fi
  printf '%s\n' "$said"
  half=$(printf '%s\n' "$said" | openssl x509 -noout -pubkey 2> /dev/null)
  inside=$(printf '%s\n' "$word" | openssl pkcs12 -in "$path" -nocerts -nodes -passin stdin $old 2> /dev/null | openssl pkey -pubout 2> /dev/null)
  [ -n "$inside" ] || return
  if [ "$inside" = "$half" ]; then echo 'key fits'; else echo 'key other'; fi
}
number=0
while [ $# -ge 3 ]; do
  IFS= read -r word || word=
  echo "file $number"
  one "$1" "$2" "$3" "$word" < /dev/null
  echo "done $number"
  number=$((number + 1))
  shift 3
done
