# Says $2 to the Unix socket $1 and prints the answer, with whatever this host has for it.
if command -v socat >/dev/null 2>&1; then
  printf '%s' "$2" | socat -t 10 - "UNIX-CONNECT:$1"
elif command -v nc >/dev/null 2>&1 && nc -h 2>&1 | grep -q -e '-U'; then
  printf '%s' "$2" | nc -w 10 -U "$1"
elif command -v python3 >/dev/null 2>&1; then
  python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode())
s.shutdown(socket.SHUT_WR)
while True:
    part = s.recv(65536)
    if not part:
        break
    sys.stdout.buffer.write(part)' "$1" "$2"
elif command -v perl >/dev/null 2>&1; then
  perl -MIO::Socket::UNIX -e 'alarm 10; my $s = IO::Socket::UNIX->new($ARGV[0]) or die "$!\n";
print $s $ARGV[1]; $s->flush; shutdown($s, 1); print while <$s>' "$1" "$2"
else
  echo 'none of socat, nc -U, python3 and perl is there to speak to a socket' >&2
  exit 127
fi
