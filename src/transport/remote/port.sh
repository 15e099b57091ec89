# Whether port $2 of $1 accepts a connection from this host.
if command -v bash >/dev/null 2>&1; then
  exec bash -c 'exec 3<>"/dev/tcp/$1/$2"' svcops "$1" "$2"
elif command -v python3 >/dev/null 2>&1; then
  exec python3 -c 'import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2]))).close()
except OSError as e:
    sys.exit(str(e))' "$1" "$2"
elif command -v perl >/dev/null 2>&1; then
  exec perl -MIO::Socket::INET -e 'IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1]) or die "$!\n"' "$1" "$2"
elif command -v nc >/dev/null 2>&1; then
  exec nc -z "$1" "$2"
fi
echo 'none of bash, python3, perl and nc is there to try a port' >&2
exit 127
