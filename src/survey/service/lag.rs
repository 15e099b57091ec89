//! How far a standby is behind its primary.

use crate::{
    base::{HostName, Lsn, PgFacts, Span},
    inventory::{Database, Host, Rpo},
};
use serde::Serialize;

/// How far a standby is behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// So many bytes of the log the primary has and it has not.
    pub bytes: u64,
    /// The last transaction that it has replayed is so old, where it is behind at all; none: it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Span>,
    /// All that the primary had written a moment before has arrived: who is busy always has some bytes under way, and that
    /// is no lag.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_flight: bool,
}

impl Lag {
    /// Whether a switch at this moment would lose no more than that.
    pub fn within(&self, rpo: Rpo) -> bool {
        self.in_flight || rpo.allows(self.bytes, self.time)
    }
}

/// How far one is behind the other; none: one of them does not say.
///
/// Both are seen by looks of their own, a moment apart. What the primary knows of the standby was seen with what it wrote
/// itself, and the standby has never less than either says: so the greater of the two is taken.
/// `before` is what the primary had written at an earlier look.
pub fn lag(primary: &PgFacts, standby: &PgFacts, host: &Host, before: Option<Lsn>) -> Option<Lag> {
    let written = primary.sql.as_ref().filter(|sql| !sql.recovery)?.written?;
    let own = standby.sql.as_ref().filter(|sql| sql.recovery)?;
    let told = told(primary, host);
    let has: Lsn = own.received.max(told)?;
    let bytes = written.past(has);
    let replayed = own.delay.unwrap_or_default();
    let in_flight = bytes > 0 && before.is_some_and(|before| has >= before);
    Some(Lag { bytes, time: if bytes == 0 { Some(replayed) } else { own.delay }, in_flight })
}

/// What the primary says that a standby has on its disk.
fn told(primary: &PgFacts, host: &Host) -> Option<Lsn> {
    let address = host.address.as_deref();
    let slot = Database::slot(&host.name);
    let its = |name: &str, at: &str| is(&host.name, &slot, name) || address == Some(at);
    let standbys = &primary.sql.as_ref()?.standbys;
    standbys.iter().find(|standby| its(&standby.name, &standby.address)).and_then(|standby| standby.flushed)
}

fn is(host: &HostName, slot: &str, name: &str) -> bool {
    name == slot || name == host.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::PgSql;

    #[test]
    fn what_was_written_since_the_first_look_is_under_way_and_no_lag() {
        let inventory = crate::survey::service::tests::crm();
        let host = inventory.host("dc2-db1").unwrap();
        let facts = |sql: PgSql| PgFacts { running: true, sql: Some(sql), ..PgFacts::default() };
        let primary = facts(PgSql { written: Some(Lsn(900)), ..PgSql::default() });
        let standby = facts(PgSql { recovery: true, received: Some(Lsn(800)), ..PgSql::default() });
        for (before, allowed) in [(None, false), (Some(Lsn(801)), false), (Some(Lsn(800)), true)] {
            let lag = lag(&primary, &standby, host, before).unwrap();
            assert_eq!((lag.bytes, lag.within(Rpo::Bytes(0))), (100, allowed), "{before:?}");
        }
    }
}
