//! A switchover of Patroni's, in the words of the seam.

use super::Span;
use serde::{Deserialize, Serialize};

/// Another member of a Patroni cluster is to lead it: `POST /switchover`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switchover {
    /// The database's name in `svcops.yaml`.
    pub database: String,
    /// The REST API of the one that leads, without a path: it acts soonest.
    pub url: String,
    /// That of the one that is to lead: it is asked whether it does.
    pub to: String,
    /// The one that leads, as Patroni names it.
    pub leader: String,
    /// The one that is to lead, as Patroni names it.
    pub candidate: String,
    /// The user of the API; none: it asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The secret that holds their password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A PEM file on this machine to trust instead of the system's roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// How long Patroni may take.
    pub within: Span,
}
