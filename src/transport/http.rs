//! One HTTP request, and its answer in words.

use super::{remote::act::floor, vault::Vault};
use crate::base::{HttpAsk, HttpFacts, Output, Redactor, Secret};
use reqwest::{Certificate, Client, ClientBuilder, Method, Url, redirect::Policy};
use std::{error::Error, path::Path, sync::OnceLock, time::Duration};

/// The host and the port that a URL names.
pub(crate) fn target(url: &str) -> Result<(String, u16), String> {
    let wrong = || format!("`{url}` is not a URL: http:// or https:// and a host expected");
    let url = Url::parse(url).map_err(|_| wrong())?;
    let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")).ok_or_else(wrong)?;
    let port = url.port_or_known_default().ok_or_else(wrong)?;
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}

/// Looks at what a server answers: directly, or by a socket that leads to it. No proxy stands between, and no redirect is
/// followed: what is asked is what answers.
pub(crate) async fn look(
    ask: &HttpAsk,
    socket: Option<&Path>,
    vault: &Vault,
    redactor: &Redactor,
) -> Result<HttpFacts, String> {
    send(ask, socket, true, None, vault, redactor).await
}

/// Tells a server something, by basic authentication where there is a login. No proxy stands between.
pub(crate) async fn tell_as(
    ask: &HttpAsk,
    login: Option<(&str, &Secret)>,
    vault: &Vault,
    redactor: &Redactor,
) -> Result<HttpFacts, String> {
    send(ask, None, true, login, vault, redactor).await
}

/// Sends a message; by the proxy that the environment names.
pub(crate) async fn tell(ask: &HttpAsk, vault: &Vault, redactor: &Redactor) -> Result<HttpFacts, String> {
    send(ask, None, false, None, vault, redactor).await
}

async fn send(
    ask: &HttpAsk,
    socket: Option<&Path>,
    direct: bool,
    login: Option<(&str, &Secret)>,
    vault: &Vault,
    redactor: &Redactor,
) -> Result<HttpFacts, String> {
    target(&ask.url)?;
    let client = client(ask, socket, direct, vault)?;
    let method = Method::from_bytes(ask.method.to_ascii_uppercase().as_bytes())
        .map_err(|_| format!("`{}` is not an HTTP method", ask.method))?;
    let mut request = client.request(method, &ask.url).timeout(ask.within.0);
    for (name, value) in &ask.headers {
        let value = vault.fill(value).map_err(|e| e.to_string())?;
        request = request.header(name, value.reveal());
    }
    if let Some((user, password)) = login {
        request = request.basic_auth(user, Some(password.reveal()));
    }
    if let Some(body) = &ask.body {
        request = request.body(vault.fill(body).map_err(|e| e.to_string())?.reveal().to_owned());
    }
    let failed = |error: &reqwest::Error| HttpFacts {
        error: Some(redactor.clean(&words(error, ask)).0),
        ..HttpFacts::default()
    };
    let mut answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) if error.is_builder() => return Err(redactor.clean(&deepest(&error)).0),
        Err(error) => return Ok(failed(&error)),
    };
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    while body.len() <= Output::CAP {
        match answer.chunk().await {
            Ok(Some(part)) => body.extend_from_slice(&part),
            Ok(None) => break,
            Err(error) => return Ok(HttpFacts { status: Some(status), ..failed(&error) }),
        }
    }
    // what stands at the cut may be half a secret
    let cut = body.len() > Output::CAP;
    body.truncate(if cut { Output::CAP } else { body.len() });
    let (mut body, _) = redactor.clean(&String::from_utf8_lossy(&body));
    if cut {
        let keep = floor(&body, body.len().saturating_sub(redactor.longest()).min(Output::CAP));
        body.truncate(keep);
    }
    Ok(HttpFacts { status: Some(status), body, error: None })
}

/// As one asks by it: a new connection for each request.
pub(super) fn client(ask: &HttpAsk, socket: Option<&Path>, direct: bool, vault: &Vault) -> Result<Client, String> {
    static PLAIN: OnceLock<Client> = OnceLock::new();
    let plain = ask.ca.is_none() && socket.is_none() && direct;
    if let Some(client) = PLAIN.get().filter(|_| plain) {
        return Ok(client.clone());
    }
    let mut builder: ClientBuilder = Client::builder()
        .user_agent(concat!("svcops/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        // a health check that rides on an old connection would not see that no new one is accepted
        .pool_max_idle_per_host(0)
        .connect_timeout(Duration::from_secs(30));
    if direct {
        builder = builder.no_proxy();
    }
    if let Some(path) = &ask.ca {
        let pem = std::fs::read(vault.path(path)).map_err(|e| format!("could not read `{path}`: {e}"))?;
        let trusted = Certificate::from_pem_bundle(&pem).map_err(|e| format!("`{path}` holds no certificate: {e}"))?;
        if trusted.is_empty() {
            return Err(format!("`{path}` holds no certificate"));
        }
        builder = builder.tls_certs_only(trusted);
    }
    if let Some(socket) = socket {
        builder = builder.unix_socket(socket);
    }
    let client = builder.build().map_err(|e| format!("no HTTP request can be made: {}", deepest(&e)))?;
    if plain {
        return Ok(PLAIN.get_or_init(|| client).clone());
    }
    Ok(client)
}

/// Why there was no answer, as people say it.
pub(super) fn words(error: &reqwest::Error, ask: &HttpAsk) -> String {
    if error.is_timeout() {
        return format!("no answer within {}", ask.within);
    }
    let said = deepest(error);
    plain(&said).map_or(said, str::to_owned)
}

/// The words that people have for what a library says of a connection.
pub(crate) fn plain(said: &str) -> Option<&'static str> {
    let lower = said.to_lowercase();
    let known = [
        ("connection refused", "connection refused"),
        ("connection reset", "connection reset"),
        ("no route to host", "no route to host"),
        ("network is unreachable", "network is unreachable"),
        ("failed to lookup address", "the name is not known"),
        ("name or service not known", "the name is not known"),
        ("unknownissuer", "the certificate is not signed by who is trusted"),
        ("notvalidforname", "the certificate is for another name"),
        ("not valid for name", "the certificate is for another name"),
        ("expired", "the certificate has expired"),
        ("notvalidyet", "the certificate is not valid yet"),
        ("not valid yet", "the certificate is not valid yet"),
        ("unexpected end of file", "the connection ended before an answer came"),
        ("incomplete message", "the connection ended before an answer came"),
    ];
    known.into_iter().find(|(part, _)| lower.contains(part)).map(|(_, words)| words)
}

/// What lies below all other errors, in its own words.
pub(crate) fn deepest(error: &dyn Error) -> String {
    let mut deepest = error;
    while let Some(next) = deepest.source() {
        deepest = next;
    }
    deepest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_host_and_port() {
        assert_eq!(target("http://a.example/x"), Ok(("a.example".into(), 80)));
        assert_eq!(target("https://[::1]:8443/"), Ok(("::1".into(), 8443)));
        assert!(target("ftp://a/").is_err());
        assert!(target("a.example:80").is_err());
    }
}
