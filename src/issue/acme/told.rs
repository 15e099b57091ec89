//! What an ACME server's refusal means, in its own words and in ours, and what to do about it.

use super::{AcmeError, Server, client::Patience};
use instant_acme::{Error, Problem};

/// More of a server's own words tells nobody more.
const MOST: usize = 400;

/// An error as people read it.
pub(super) fn words(server: &Server, error: &Error, patience: &Patience) -> AcmeError {
    let name = &server.name;
    match error {
        Error::Api(problem) => AcmeError::Refused(format!("`{name}` {}", refusal(problem, patience))),
        Error::Unsupported(what) => AcmeError::Refused(format!("`{name}` does not offer {what}")),
        Error::Crypto | Error::KeyRejected => {
            AcmeError::Refused(format!("the key of the account with `{name}` cannot be used"))
        }
        Error::Json(_) => AcmeError::Silent(format!(
            "what `{name}` answers is not ACME: `directory` of the issuer must be the URL of its directory"
        )),
        Error::Timeout(_) => AcmeError::Silent(format!("`{name}` took too long")),
        Error::Str(what) => AcmeError::Silent(format!("`{name}` answers without what RFC 8555 asks for: {what}")),
        other => {
            AcmeError::Silent(format!("could not ask `{name}` at {}: {}", server.directory, brief(&other.to_string())))
        }
    }
}

/// It does not take the account that exists elsewhere.
pub(super) fn unbound(server: &Server, kid: &str, problem: &Problem) -> AcmeError {
    let said = problem.detail.as_deref().map_or_else(|| "it does not say why".to_owned(), brief);
    AcmeError::Refused(format!(
        "`{}` makes no account with `eab` of the issuer: {said}; kid `{kid}` and its key must be as it shows them",
        server.name
    ))
}

/// What a problem document says (RFC 8555, 6.7), and what to do.
pub(super) fn refusal(problem: &Problem, patience: &Patience) -> String {
    let kind = problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next()).unwrap_or("no reason");
    let mut said: Vec<String> = problem.detail.iter().map(|detail| brief(detail)).collect();
    for part in &problem.subproblems {
        let of = match &part.identifier {
            Some(identifier) => format!("{}: ", identifier.authorized(false)),
            None => String::new(),
        };
        said.push(format!("{of}{}", brief(part.detail.as_deref().unwrap_or("no reason"))));
    }
    let said = if said.is_empty() { "it does not say why".to_owned() } else { said.join("; ") };
    let wait = patience.asked().map(|wait| match wait.parse::<u64>() {
        Ok(seconds) => format!("in {}", crate::base::Span::secs(seconds)),
        Err(_) => format!("after {}", brief(&wait)),
    });
    let next = match kind {
        "rateLimited" => wait.map_or_else(
            || "it takes orders again later".to_owned(),
            |wait| format!("it takes orders again {wait}"),
        ),
        "caa" => "a CAA record of the name, or of one above it, must allow this authority".to_owned(),
        "dns" => "the name must be in the DNS that the authority asks, and no server of its zone may fail".to_owned(),
        "unauthorized" => "what the authority found there is not what it was to find: another server answers for the name, or an old answer is still kept".to_owned(),
        "connection" => "the authority must reach the name's addresses: port 80 for http, and name servers for dns".to_owned(),
        "incorrectResponse" => "what answers for the name is not what svcops put there".to_owned(),
        "externalAccountRequired" => "it wants an account that exists elsewhere: `eab` of the issuer".to_owned(),
        "accountDoesNotExist" => "it does not know the account any more: move its `account.json` away, and a new one is made".to_owned(),
        "userActionRequired" => "its terms have changed: agree to them where it says".to_owned(),
        "rejectedIdentifier" => "it does not issue for this name".to_owned(),
        "badCSR" => "it does not take such a request: another `algorithm` of the certificate may do".to_owned(),
        "serverInternal" => "the fault is its own: it may be over by now".to_owned(),
        _ => return format!("says no ({kind}): {said}"),
    };
    format!("says no ({kind}): {said}; {next}")
}

/// One line, and not too long: whoever answers there is not to be trusted with a screen.
fn brief(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain: String = line.chars().filter(|c| !c.is_control()).take(MOST).collect();
    if plain.chars().count() < MOST { plain } else { format!("{plain} …") }
}
