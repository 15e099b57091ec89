# Serves a file that proves a name over HTTP, or no longer; runs as who acts.
# $1 look | put | drop   $2 webroot | responder   $3 root or port   $4 token (none: all)   $5 text, or how many folders stay
# Exit code 10: nothing was changed, and why.
LC_ALL=C
export LC_ALL
p_refuse() {
  printf 'svcops: %s\n' "$1" >&2
  exit 10
}
P_where=$3 P_token=$4 P_more=${5-}
P_well=$P_where/.well-known
P_folder=$P_well/acme-challenge
P_file=$P_folder/$P_token

# The process says in its command line what it is; the brackets keep this search from finding itself.
p_found() {
  P_pids=$(grep -las -- "[s]vcops-responder:$P_where:" /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3)
  P_texts=
  for P_pid in $P_pids; do
    P_text=$(tr '\0' '\n' <"/proc/$P_pid/cmdline" 2>/dev/null | sed -n "s/^svcops-responder:$P_where://p")
    P_texts="$P_texts $(printf %s "$P_text" | tr , ' ')"
  done
}

p_look_webroot() {
  P_folders=0
  [ ! -d "$P_well" ] || P_folders=1
  [ ! -d "$P_folder" ] || P_folders=2
  printf 'folders %s\n' "$P_folders"
  [ "$P_folders" -eq 2 ] || return 0
  ls -t -- "$P_folder" | head -n 100 | while IFS= read -r P_one; do
    case $P_one in *[!A-Za-z0-9_-]*) continue ;; esac
    [ ! -f "$P_folder/$P_one" ] || printf 'value %s %s\n' "$P_one" "$(head -c 1024 <"$P_folder/$P_one" | head -n 1)"
  done
}
p_put_webroot() {
  umask 022
  [ -d "$P_where/" ] || p_refuse "the folder \`$P_where\` is not there"
  for P_one in "$P_well" "$P_folder"; do
    [ -d "$P_one" ] || P_said=$(mkdir -- "$P_one" 2>&1) || p_refuse "the folder \`$P_one\` cannot be made: ${P_said##*: }"
  done
  P_said=$( (printf %s "$P_more" >"$P_file.new") 2>&1) || {
    rm -f -- "$P_file.new"
    p_refuse "\`$P_file\` cannot be written: ${P_said##*: }"
  }
  mv -f -- "$P_file.new" "$P_file"
}
p_drop_webroot() {
  rm -f -- "$P_file" "$P_file.new" || exit 1
  # whoever put something else there meanwhile keeps the folder
  if [ "$P_more" -lt 2 ] && [ -d "$P_folder" ]; then rmdir -- "$P_folder" 2>/dev/null; fi
  if [ "$P_more" -lt 1 ] && [ -d "$P_well" ]; then rmdir -- "$P_well" 2>/dev/null; fi
  [ ! -e "$P_file" ]
}

p_look_responder() {
  printf 'folders 2\n'
  p_found
  for P_text in $P_texts; do printf 'value %s %s\n' "${P_text%%.*}" "$P_text"; done
}
# One process answers for all names that lead to this port: it makes way for one that knows one more, or one less.
p_put_responder() {
  p_found
  case " $P_texts " in *" $P_more "*) exit 0 ;; esac
  P_list=$P_more
  for P_text in $P_texts; do P_list=$P_list,$P_text; done
  p_end
  p_begin "$P_list"
}
p_drop_responder() {
  p_found
  P_list=
  for P_text in $P_texts; do
    [ "${P_text%%.*}" = "$P_token" ] || P_list=$P_list${P_list:+,}$P_text
  done
  case " $P_texts" in *" $P_token."*) ;; *) exit 0 ;; esac
  p_end
  [ -z "$P_list" ] || p_begin "$P_list"
}
p_begin() {
  cd /
  if command -v python3 >/dev/null 2>&1; then P_said=$(python3 -c "$P_python" "svcops-responder:$P_where:$1" 2>&1 </dev/null)
  elif command -v perl >/dev/null 2>&1; then P_said=$(perl -e "$P_perl" "svcops-responder:$P_where:$1" 2>&1 </dev/null)
  else p_refuse 'neither `python3` nor `perl` was found: serve the file by a web server (`webroot`)'; fi ||
    p_refuse "the port $P_where cannot be listened on: $P_said"
}
p_end() {
  P_try=0
  while [ -n "$P_pids" ]; do
    if [ "$P_try" -lt 20 ]; then kill $P_pids 2>/dev/null; else kill -9 $P_pids 2>/dev/null; fi
    P_try=$((P_try + 1))
    [ "$P_try" -lt 40 ] || { echo 'it is still there' >&2; exit 1; }
    sleep 0.1 2>/dev/null || sleep 1
    P_pids=$(grep -las -- "[s]vcops-responder:$P_where:" /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3)
  done
}

# Both: listen, go to the background once that is sure, answer these names alone, end after 900 seconds.
P_python='
import os, signal, socket, sys
port, values = sys.argv[1].split(":", 2)[1:]
known = {b"/.well-known/acme-challenge/" + v.split(".")[0].encode(): v.encode() for v in values.split(",")}
def listen(family, address):
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind((address, int(port)))
    s.listen(16)
    return s
try:
    try:
        s = listen(socket.AF_INET6, "::")
    except OSError as e:
        if e.errno in (13, 98):
            raise
        s = listen(socket.AF_INET, "0.0.0.0")
except OSError as e:
    sys.exit(e.strerror.lower())
if os.fork():
    os._exit(0)
os.setsid()
null = os.open(os.devnull, os.O_RDWR)
for fd in (0, 1, 2):
    os.dup2(null, fd)
signal.alarm(900)
while True:
    c = s.accept()[0]
    try:
        c.settimeout(3)
        got = b""
        for _ in range(8):
            got += c.recv(2048)
            if b"\r\n\r\n" in got or len(got) > 8192:
                break
        line = got.split(b"\r\n")[0].split(b" ")
        right = len(line) > 1 and line[0] == b"GET" and line[1] in known
        body = known[line[1]] if right else b"not here\n"
        head = "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        c.sendall((head % ("200 OK" if right else "404 Not Found", len(body))).encode() + body)
    except OSError:
        pass
    c.close()
'
P_perl='
use strict; use POSIX (); use Socket qw(:DEFAULT IPPROTO_IPV6 IPV6_V6ONLY);
my (undef, $port, $values) = split /:/, $ARGV[0], 3;
my %known = map { my ($token) = split /\./; ("/.well-known/acme-challenge/$token" => $_) } split /,/, $values;
sub ready { my ($family, $address) = @_;
  socket(S, $family, SOCK_STREAM, 0) or return 0;
  setsockopt(S, SOL_SOCKET, SO_REUSEADDR, pack("i", 1));
  setsockopt(S, IPPROTO_IPV6, IPV6_V6ONLY, pack("i", 0)) if $family == PF_INET6;
  bind(S, $address) and listen(S, 16) }
unless (ready(PF_INET6, pack_sockaddr_in6($port, Socket::IN6ADDR_ANY))) {
  my $why = $! + 0;
  if ($why == 13 || $why == 98 || !ready(PF_INET, pack_sockaddr_in($port, INADDR_ANY))) {
    print STDERR lc("$!"); exit 1 }
}
my $pid = fork; defined $pid or die "no process can be made\n"; POSIX::_exit(0) if $pid;
POSIX::setsid();
open STDIN, "<", "/dev/null"; open STDOUT, ">", "/dev/null"; open STDERR, ">", "/dev/null";
$SIG{PIPE} = "IGNORE"; alarm 900;
while (1) {
  accept(C, S) or next;
  my $got = "";
  for (1 .. 8) {
    my $in = ""; vec($in, fileno(C), 1) = 1;
    last unless select($in, undef, undef, 3) && sysread(C, $got, 2048, length $got);
    last if index($got, "\r\n\r\n") >= 0 || length($got) > 8192;
  }
  my ($method, $path) = split / /, (split /\r\n/, $got)[0] // "";
  my $right = ($method // "") eq "GET" && exists $known{$path // ""};
  my $body = $right ? $known{$path} : "not here\n";
  syswrite(C, sprintf("HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
    $right ? "200 OK" : "404 Not Found", length $body, $body));
  close C;
}
'
"p_$1_$2"
