//! What a failure is known by: the runbook, the step, and the error without what differs from one time to the next.

use super::Fingerprint;
use crate::base::Hash;

/// Equal for the same error of the same step, whatever the host, the numbers and the ids in it.
pub fn of<'h>(runbook: &str, step: &str, error: &str, hosts: impl IntoIterator<Item = &'h str>) -> Fingerprint {
    let error = settled(error, hosts);
    Fingerprint(Hash::of(format!("{runbook}\n{step}\n{error}").as_bytes()))
}

/// The error with hosts, numbers and ids taken out.
fn settled<'h>(error: &str, hosts: impl IntoIterator<Item = &'h str>) -> String {
    let mut hosts: Vec<&str> = hosts.into_iter().filter(|h| !h.is_empty()).collect();
    // `web1` must not leave `-a` of `web1-a` behind
    hosts.sort_by_key(|h| (std::cmp::Reverse(h.len()), *h));
    let mut text = error.to_owned();
    for host in hosts {
        text = text.replace(host, "#");
    }
    let mut settled = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let end = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        let rest = word.strip_prefix(end).unwrap_or_default();
        settled += if end.chars().any(|c| c.is_ascii_digit()) { "#" } else { end };
        settled += rest;
    }
    settled.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_numbers_and_ids_make_no_difference_and_words_do() {
        let hosts = ["web1", "web1-a", "db"];
        let of = |error: &str| of("restart", "Перезапуск", error, hosts);
        let one = of("`web1`: HTTP 503 from http://10.77.0.12:8080/health, 31 tries, run 01J9ZK3V7Q");
        assert_eq!(one, of("`web1-a`: HTTP 500 from http://10.77.0.9:80/health, 7 tries, run 01M7Q5CQG0"));
        assert_ne!(one, of("`web1`: HTTP 503 from http://10.77.0.12:8080/ready, 31 tries, run 01J9ZK3V7Q"));
        assert_ne!(one, super::of("restart", "Reload", "`web1`: HTTP 503 from", hosts));
        assert_eq!(settled("сервер db не ответил за 30s\n  (pid 4711)", hosts), "сервер # не ответил за # (pid #)");
    }
}
