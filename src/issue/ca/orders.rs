//! Which certificate a subject has: who was killed after it was given finds it again.

use super::{Ca, CaError, Given, ISSUED, Order, read_given};
use crate::{
    base::{Hash, Secret},
    issue::safe,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{io, path::PathBuf};

/// `orders/….json`.
#[derive(Debug, Serialize, Deserialize)]
struct Ordered {
    schema_version: u32,
    subject: String,
    /// A file of `issued/`.
    given: String,
}

impl Ca {
    /// What was given last for a subject, and is not taken back.
    ///
    /// # Errors
    /// What is remembered of it does not read.
    pub fn ordered(&self, subject: &str) -> Result<Option<Given>, CaError> {
        let path = self.order_file(subject);
        let bytes = match std::fs::read(&path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|why| CaError::io("read", &path, why))?,
        };
        let broken = |why: String| CaError::Register { path: path.clone(), why };
        let ordered: Ordered = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
        if ordered.given.contains('/') {
            return Err(broken(format!("`{}` is no name of a file", ordered.given)));
        }
        let cert = read_given(&self.folder.join(ISSUED).join(&ordered.given))?;
        if self.register.revoked.iter().any(|r| r.serial == cert.serial) {
            return Ok(None);
        }
        self.chained(cert).map(Some)
    }

    /// As [`give`](Self::give), and remembers whom it was for.
    ///
    /// # Errors
    /// As `give`.
    pub fn give_for(
        &mut self,
        subject: &str,
        order: &Order,
        password: &Secret,
        at: Timestamp,
    ) -> Result<Given, CaError> {
        let given = self.give(order, password, at)?;
        let path = self.order_file(subject);
        let folder = self.folder.join(ORDERS);
        safe::private_folder(&folder).map_err(|why| CaError::io("make", &folder, why))?;
        let file = super::give::file_of(&given.cert);
        let ordered = Ordered { schema_version: 1, subject: subject.to_owned(), given: file };
        let broken = |e: serde_json::Error| CaError::Register { path: path.clone(), why: e.to_string() };
        let bytes = serde_json::to_vec(&ordered).map_err(broken)?;
        // two who order for one subject must not meet in the file beside it
        let _lock = super::register::lock(&self.folder)?;
        safe::write(&path, &bytes, safe::PRIVATE).map_err(|why| CaError::io("write", &path, why))?;
        Ok(given)
    }

    fn order_file(&self, subject: &str) -> PathBuf {
        self.folder.join(ORDERS).join(format!("{}.json", Hash::of(subject.as_bytes())))
    }
}

const ORDERS: &str = "orders";
