//! One nginx of our own with a certificate of its own on each of many addresses of this machine.

use super::shared::cost;
use std::{
    fmt::Write as _,
    fs,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};
use tempfile::TempDir;

/// The server, its folder, and where it answers.
pub struct Nginx {
    folder: TempDir,
    server: Child,
    addresses: usize,
}

/// Each address answers on so many ports, from this one.
const PORT: u16 = 22900;
/// Ports of an address.
pub const PORTS: usize = 10;

impl Nginx {
    /// None: no nginx, or no openssl, can be started here.
    pub fn start(addresses: usize) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("svcops-bench").tempdir().unwrap();
        let mut make = Command::new("sh");
        make.arg("-euc").arg(CERTIFICATES).arg("sh").arg(addresses.to_string()).current_dir(folder.path());
        make.stderr(std::process::Stdio::null()).status().ok().filter(std::process::ExitStatus::success)?;
        fs::write(folder.path().join("nginx.conf"), config(&folder, addresses)).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg("nginx.conf").arg("-e").arg("stderr");
        let server = Self { server: cost::held(&command).ok()?, folder, addresses };
        let up = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            TcpStream::connect(server.endpoint(0)).is_ok()
        });
        up.then_some(server)
    }
    /// A file of its folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    /// The n-th endpoint, from 0: the first ones differ in their address and certificate, the later ones in their port only.
    pub fn endpoint(&self, n: usize) -> String {
        format!("{}:{}", address(n % self.addresses), usize::from(PORT) + n / self.addresses)
    }
    /// Writes a list of the first so many endpoints, with others between them.
    pub fn list(&self, name: &str, endpoints: usize, others: &[String]) -> PathBuf {
        let mut lines: Vec<String> = (0..endpoints).map(|n| self.endpoint(n)).collect();
        let each = lines.len() / others.len().max(1) + 1;
        for (n, other) in others.iter().enumerate() {
            lines.insert((n * each).min(lines.len()), other.clone());
        }
        let path = self.at(name);
        fs::write(&path, lines.join("\n")).unwrap();
        path
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // its standard input ends, and the server with it
        drop(self.server.stdin.take());
        if let Err(e) = self.server.wait() {
            println!("the bench's nginx could not be ended: {e}");
        }
    }
}

/// An address of this machine.
pub fn address(n: usize) -> String {
    format!("127.1.{}.{}", n / 250, 1 + n % 250)
}

/// It answers on the wildcard address; by which address a client came decides on the certificate.
fn config(folder: &TempDir, addresses: usize) -> String {
    let path = folder.path().display();
    let mut text = format!(
        "daemon off;\nmaster_process off;\npid {path}/pid;\nworker_rlimit_nofile 8192;\n\
         events {{ worker_connections 4096; }}\nhttp {{\naccess_log off;\nssl_session_cache off;\nssl_session_tickets off;\n\
         ssl_protocols TLSv1.2 TLSv1.3;\n"
    );
    for port in 0..PORTS {
        let port = usize::from(PORT) + port;
        writeln!(text, "server {{ listen {port} backlog=4096; return 444; }}").unwrap();
    }
    for n in 0..addresses {
        let listens: String =
            (0..PORTS).map(|port| format!("listen {}:{} ssl; ", address(n), usize::from(PORT) + port)).collect();
        writeln!(
            text,
            "server {{ {listens}ssl_certificate {path}/{n}.pem; ssl_certificate_key {path}/site.key; return 204; }}"
        )
        .unwrap();
    }
    text + "}\n"
}

/// A CA, and certificates for the addresses of one key: what costs a scan is to read and to judge each of them.
const CERTIFICATES: &str = r#"
openssl ecparam -name prime256v1 -genkey -noout -out ca.key
openssl req -x509 -new -key ca.key -days 3650 -subj /CN=Bench -out ca.crt
openssl ecparam -name prime256v1 -genkey -noout -out int.key
printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' > int.ext
openssl req -new -key int.key -subj '/O=Bench/CN=Bench CA 1' -out int.csr
openssl x509 -req -in int.csr -CA ca.crt -CAkey ca.key -days 1825 -extfile int.ext -out int.crt
openssl ecparam -name prime256v1 -genkey -noout -out site.key
openssl req -new -key site.key -subj /CN=site -out site.csr
one='
printf "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nsubjectAltName=IP:127.1.$(($1 / 250)).$(($1 % 250 + 1)),DNS:n$1.example.org\n" |
  openssl x509 -req -in site.csr -CA int.crt -CAkey int.key -set_serial $((1000 + $1)) -days 90 -extfile /dev/stdin -out $1.crt
cat $1.crt int.crt > $1.pem'
seq 0 $(($1 - 1)) | xargs -P 2 -I '{}' sh -c "$one" sh '{}'
"#;
