//! The words that every other room speaks: ids, places, reads and changes, secrets, time.
//!
//! Nothing here does I/O, except the clock.

pub mod act;
pub mod bounds;
pub mod cert;
pub mod change;
pub mod client;
pub mod clock;
pub mod dns;
pub mod hash;
pub mod id;
pub mod letter;
pub mod order;
pub mod packed;
pub mod pair;
pub mod patroni;
pub mod place;
#[cfg(test)]
pub(crate) mod ports;
pub mod postgres;
pub mod proof;
pub mod read;
pub mod secret;
pub mod span;
pub mod spot;
pub mod words;
pub mod zone;

pub use act::{Act, Outcome, Output, Receipt, Way};
pub use cert::{Algorithm, Keystore};
pub use change::{Change, Content, Invocation, Program, ServerState, Source};
pub use client::{ClientAsk, ClientFacts, ClientOutage, PgTls, ProbeKind, SETTLED};
pub use clock::{Clock, WallClock};
pub use dns::{AddressAsk, RecordAsk, RecordFacts, RecordSet, RecordType, RecordUpdate};
pub use hash::Hash;
pub use id::{HostName, RunId, TaskId};
pub use letter::{Letter, Login, Smtp, Tls};
pub use order::{ChallengeKind, OrderAsk, OrderChain, OrderChallenge, OrderFacts, OrderMove, OrderState, OrderStep};
pub use packed::Packed;
pub use pair::{Leaf, PairChange, PairFacts, PairSpot, ServedAsk, ServedFacts, Staged, StagedKey, StagedRequest};
pub use patroni::Switchover;
pub use place::{At, Lock, Place};
pub use postgres::{
    Lsn, NotAnLsn, PgAsk, PgBranch, PgChange, PgControl, PgDepth, PgFacts, PgPeer, PgReplicator, PgSlot, PgSpot, PgSql,
    PgStandby, PgState, PgTail, PgUpstream,
};
pub use proof::{ProofBy, ProofChange, ProofFacts, ProofSpot};
pub use read::{
    Answer, FileFacts, HaproxyApi, HttpAsk, HttpFacts, Read, RunFacts, ServerFacts, TcpFacts, UnitFacts, UnitState,
};
pub use secret::{Redactor, Secret, SecretForm, Text};
pub use span::Span;
pub use spot::Spot;
pub use zone::{TsigHash, TsigKey, Zone};
