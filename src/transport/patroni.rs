//! Patroni's REST API, as far as it changes something.

use super::{http, vault::Vault};
use crate::base::{HttpAsk, HttpFacts, Outcome, Redactor, Secret, Span, Switchover, Text};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// How often the new leader is asked whether it is one: Patroni's own answer looks once a second. An answer costs the very
/// process that is to promote some milliseconds, and a query.
const EVERY: Duration = Duration::from_millis(100);

/// Has another member lead: done when Patroni says so, or when that member accepts writes, whichever is first.
pub(crate) async fn switch(to: &Switchover, vault: &Vault, redactor: &Redactor) -> Outcome {
    let login = match (&to.user, &to.password) {
        (Some(user), Some(name)) => match vault.secret(name) {
            Ok(secret) => Some((user.as_str(), secret)),
            Err(why) => return Outcome::Refused(why.to_string()),
        },
        _ => None,
    };
    tokio::select! {
        outcome = told(to, login.as_ref().map(|(user, secret)| (*user, secret)), vault, redactor) => outcome,
        () = leads(to, vault, redactor) => Outcome::Ok,
    }
}

fn ask(to: &Switchover, url: String, within: Span) -> HttpAsk {
    HttpAsk { url, method: "GET".to_owned(), headers: BTreeMap::new(), body: None, ca: to.ca.clone(), within }
}

async fn told(to: &Switchover, login: Option<(&str, &Secret)>, vault: &Vault, redactor: &Redactor) -> Outcome {
    let body = json!({"leader": to.leader, "candidate": to.candidate}).to_string();
    let request = HttpAsk {
        method: "POST".to_owned(),
        headers: BTreeMap::from([("Content-Type".to_owned(), Text::from("application/json"))]),
        body: Some(Text(body)),
        ..ask(to, format!("{}/switchover", to.url), to.within)
    };
    match http::tell_as(&request, login, vault, redactor).await {
        Ok(HttpFacts { status: Some(200), .. }) => Outcome::Ok,
        Ok(HttpFacts { status: Some(401), .. }) => {
            Outcome::Refused(format!("Patroni at {} does not know this user and password", to.url))
        }
        Ok(HttpFacts { status: Some(status), body, .. }) => {
            let said = body.lines().next().unwrap_or_default();
            let why = format!("Patroni at {} answered {status}: {said}", to.url);
            // it has begun where it says that it failed; all else it found before
            if status == 503 { Outcome::Failed(why) } else { Outcome::Refused(why) }
        }
        Ok(HttpFacts { error, .. }) => {
            let why = error.unwrap_or_else(|| "it gave no reason".to_owned());
            Outcome::Failed(format!("Patroni at {} did not answer: {why}", to.url))
        }
        Err(why) => Outcome::Refused(why),
    }
}

async fn leads(to: &Switchover, vault: &Vault, redactor: &Redactor) {
    let question = ask(to, format!("{}/patroni", to.to), Span::secs(1));
    loop {
        tokio::time::sleep(EVERY).await;
        let Ok(facts) = http::look(&question, None, vault, redactor).await else { continue };
        let said: Value = serde_json::from_str(&facts.body).unwrap_or_default();
        let is = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default();
        if matches!(is("role"), "master" | "primary") && is("state") == "running" {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::SecretSource;
    use std::sync::{Arc, Mutex};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    /// Answers as a Patroni would: `/switchover` as it is told to, `/patroni` that it leads once it was asked so often.
    async fn patroni(switchover: Option<&'static str>, leads_after: usize) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&heard);
        tokio::spawn(async move {
            let mut asked = 0;
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = vec![0; 4096];
                let mut n = stream.read(&mut bytes).await.unwrap();
                let text = |n: usize, bytes: &[u8]| String::from_utf8_lossy(&bytes[..n]).into_owned();
                if text(n, &bytes).starts_with("POST") && !text(n, &bytes).ends_with('}') {
                    n += stream.read(&mut bytes[n..]).await.unwrap();
                }
                let request = text(n, &bytes);
                let answer = if request.starts_with("GET /patroni ") {
                    asked += 1;
                    let role = if asked > leads_after { "master" } else { "replica" };
                    Some(format!("200 OK|{{\"state\": \"running\", \"role\": \"{role}\"}}"))
                } else {
                    kept.lock().unwrap().push(request);
                    switchover.map(str::to_owned)
                };
                let Some(answer) = answer else {
                    // it is at it, and says nothing for long
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_secs(60)).await;
                        drop(stream);
                    });
                    continue;
                };
                let (status, body) = answer.split_once('|').unwrap();
                let answer = format!("HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (url, heard)
    }

    async fn switch_at(url: &str) -> Outcome {
        let to = Switchover {
            database: "crm-db".into(),
            url: url.into(),
            to: url.into(),
            leader: "one".into(),
            candidate: "two".into(),
            user: Some("patroni".into()),
            password: Some("api".into()),
            ca: None,
            within: Span::secs(10),
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("api"), "тайна").unwrap();
        let sources = BTreeMap::from([("api".to_owned(), SecretSource::File("api".into()))]);
        let vault = Vault::new(sources, folder.path().to_owned(), Redactor::default());
        switch(&to, &vault, &Redactor::default()).await
    }

    #[tokio::test]
    async fn it_is_told_once_with_its_login_and_done_as_soon_as_the_new_leader_says_so() {
        let (url, heard) = patroni(None, 2).await;
        assert_eq!(switch_at(&url).await, Outcome::Ok);
        let heard = heard.lock().unwrap().clone();
        let [request] = heard.as_slice() else { panic!("{heard:?}") };
        assert!(request.starts_with("POST /switchover HTTP/1.1\r\n"), "{request}");
        let body: Value = serde_json::from_str(request.rsplit("\r\n\r\n").next().unwrap()).unwrap();
        assert_eq!(body, json!({"leader": "one", "candidate": "two"}));
        // patroni:тайна
        assert!(request.to_lowercase().contains("authorization: basic cgf0cm9uatrrgtcw0lnqvdcw"), "{request}");
    }

    #[tokio::test]
    async fn what_patroni_refuses_was_not_begun_and_what_it_fails_was() {
        let (url, _) = patroni(Some("200 OK|Successfully switched over to \"two\""), usize::MAX).await;
        assert_eq!(switch_at(&url).await, Outcome::Ok);
        let (url, _) = patroni(Some("412 Precondition Failed|candidate name does not match\nmore"), usize::MAX).await;
        let Outcome::Refused(why) = switch_at(&url).await else { panic!() };
        assert!(why.ends_with("answered 412: candidate name does not match"), "{why}");
        let (url, _) = patroni(Some("503 Service Unavailable|Switchover failed"), usize::MAX).await;
        assert!(matches!(switch_at(&url).await, Outcome::Failed(why) if why.ends_with("503: Switchover failed")));
        let (url, _) = patroni(Some("401 Unauthorized|no auth header received"), usize::MAX).await;
        assert!(matches!(switch_at(&url).await, Outcome::Refused(why) if why.ends_with("this user and password")));
        let gone = switch_at("http://127.0.0.1:9").await;
        assert!(matches!(&gone, Outcome::Failed(why) if why.contains("connection refused")), "{gone:?}");
    }
}
