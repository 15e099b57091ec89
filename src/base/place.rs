//! Where a read or a change belongs.

use super::HostName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A host and the user that acts there; without a host: this process itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The host; none: from here, in this process (an HTTP request, a TCP connection, a question).
    pub host: Option<HostName>,
    /// The user that sudo becomes; none: the login user.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "become")]
    pub become_user: Option<String>,
}

impl Place {
    /// This process.
    pub const HERE: Self = Self { host: None, become_user: None };

    /// A host, as its login user.
    pub fn on(host: &HostName) -> Self {
        Self { host: Some(host.clone()), become_user: None }
    }
    /// The same place as another user.
    #[must_use]
    pub fn becoming(self, user: Option<String>) -> Self {
        Self { become_user: user, ..self }
    }
    /// Something at this place.
    pub fn at<T>(&self, what: T) -> At<T> {
        At { at: self.clone(), what }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host.as_ref().map_or("here", HostName::as_str))
    }
}

/// Something with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At<T> {
    /// Where.
    pub at: Place,
    /// What.
    pub what: T,
}

/// The name under which a resource is locked: `HOST`, `HOST/unit/NAME`, `HOST/file/PATH`, `HOST/backend/B/SERVER`,
/// `app/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lock(pub String);

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
