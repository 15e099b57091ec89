//! A certificate and its key on a host, with what is staged beside them.

use super::{Answers, ReadError, Resource, host_lock};
use crate::{
    base::{Answer, At, Leaf, Lock, PairFacts, PairSpot, Place, Read, Staged, StagedRequest},
    inventory::certs::Due,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A pair in its place; what lasts of it is what a server would read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Its host, and who acts there.
    pub at: Place,
    /// Where it lies there.
    pub spot: PairSpot,
}

impl Pair {
    /// What it is called in sentences: by the file that its key is in.
    pub fn title(&self) -> String {
        format!("`{}` on `{}`", self.spot.key_file(), self.at)
    }
}

impl Resource for Pair {
    type Facts = PairFacts;
    fn lock(&self) -> Lock {
        Lock(format!("{}/pair{}", self.at, self.spot.key_file()))
    }
    fn parents(&self) -> Vec<Lock> {
        vec![host_lock(&self.at)]
    }
    fn reads(&self) -> Vec<At<Read>> {
        vec![self.at.at(Read::Pair(self.spot.clone()))]
    }
    fn facts(&self, answers: &mut Answers) -> Result<PairFacts, ReadError> {
        answers.take(|a| if let Answer::Pair(facts) = a { Some(*facts) } else { None })
    }
    fn lasting(facts: PairFacts) -> PairFacts {
        PairFacts { staged: Staged::default(), ..facts }
    }
}

/// What a pair is to become, as far as what is staged beside it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Staging {
    /// The pair.
    pub pair: Pair,
    /// The names and addresses that the new certificate is for.
    pub names: Vec<String>,
    /// When one is due.
    pub renew: Due,
    /// When that is judged.
    pub now: Timestamp,
    /// The pair of the host whose key this one shares; none: it has a key of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Pair>,
}

/// What is seen of a pair and of the one whose key it shares. What is staged for other names, or for a certificate that
/// would be due again at once, is as good as nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StagingFacts {
    /// The pair.
    pub pair: PairFacts,
    /// The one whose key it shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<PairFacts>,
}

impl Staging {
    /// Why a new certificate is due, in words; none: it is not.
    pub fn due(&self, facts: &PairFacts) -> Option<String> {
        let Some(leaf) = &facts.installed else { return Some("there is none".to_owned()) };
        if !facts.key_fits {
            return Some("its key is not the certificate's".to_owned());
        }
        if let Some(name) = self.names.iter().find(|name| !is_for(&leaf.names, name)) {
            return Some(format!("it is not for {name}"));
        }
        let end = date(leaf.not_after);
        (due_from(leaf, self.renew) <= self.now).then(|| {
            if leaf.not_after <= self.now { format!("it expired on {end}") } else { format!("it expires on {end}") }
        })
    }
    /// Without what is staged for something else.
    fn relevant(&self, mut facts: PairFacts) -> PairFacts {
        let staged = &mut facts.staged;
        let sound =
            |leaf: &Leaf| due_from(leaf, self.renew) > self.now && self.names.iter().all(|n| is_for(&leaf.names, n));
        if !staged.complete().is_some_and(sound) {
            staged.chain = None;
            // for more names than are wanted it would be refused
            let asks = |asked: &StagedRequest| {
                self.names.iter().all(|name| is_for(&asked.names, name))
                    && asked.names.iter().all(|name| is_for(&self.names, name))
            };
            if !staged.asked().is_some_and(asks) {
                *staged = Staged::default();
            }
        }
        facts
    }
}

/// From when on a certificate is due.
pub fn due_from(leaf: &Leaf, renew: Due) -> Timestamp {
    renew.of(leaf.not_before, leaf.not_after)
}

/// The day of an instant, in UTC.
pub fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// Whether a name is among those of a certificate or of a request; addresses in whatever form.
fn is_for(names: &[String], wanted: &str) -> bool {
    let address = |text: &str| text.parse::<std::net::IpAddr>().ok();
    names.iter().any(|name| {
        name.eq_ignore_ascii_case(wanted.trim_end_matches('.'))
            || (address(name).is_some() && address(name) == address(wanted))
    })
}

impl Resource for Staging {
    type Facts = StagingFacts;
    fn lock(&self) -> Lock {
        self.pair.lock()
    }
    fn parents(&self) -> Vec<Lock> {
        self.pair.parents()
    }
    fn reads(&self) -> Vec<At<Read>> {
        self.pair.reads().into_iter().chain(self.origin.iter().flat_map(Resource::reads)).collect()
    }
    fn facts(&self, answers: &mut Answers) -> Result<StagingFacts, ReadError> {
        let pair = self.relevant(self.pair.facts(answers)?);
        let origin = self.origin.as_ref().map(|origin| origin.facts(answers)).transpose()?;
        Ok(StagingFacts { pair, origin: origin.map(|facts| self.relevant(facts)) })
    }
    /// What stands in its place is another's business.
    fn lasting(facts: StagingFacts) -> StagingFacts {
        let pair = PairFacts { staged: facts.pair.staged, ..PairFacts::default() };
        StagingFacts { pair, origin: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Hash;

    #[test]
    fn a_certificate_is_due_by_days_or_by_its_share_of_life() {
        let day = 24 * 60 * 60;
        let at = |day_of: i64| Timestamp::from_second(day_of * day).unwrap();
        let leaf = Leaf {
            serial: "1".into(),
            fingerprint: "f".into(),
            spki: "s".into(),
            issuer: "CN=House".into(),
            names: vec!["A.lab.test".into(), "10.0.0.1".into(), "::1".into()],
            not_before: at(100),
            not_after: at(200),
            pem: Hash::of(b""),
        };
        assert_eq!(due_from(&leaf, Due::Days(30)), at(170));
        assert_eq!(due_from(&leaf, Due::Share(33)), at(167));
        // a life that ends before it begins is over
        assert_eq!(due_from(&Leaf { not_before: at(300), ..leaf.clone() }, Due::Share(33)), at(200));
        for (name, is) in [("a.lab.test", true), ("a.lab.test.", true), ("0:0::1", true), ("b.lab.test", false)] {
            assert_eq!(is_for(&leaf.names, name), is, "{name}");
        }
    }
}
