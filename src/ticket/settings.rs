//! `tickets:` of svcops.yaml.

use serde::{Deserialize, Serialize};

/// What a project says about tickets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which ticket system: the desk is the one there is.
    pub system: Option<String>,
    /// The language of the texts.
    pub language: Language,
    /// A folder with the project's own texts, relative to the project's.
    pub templates: Option<String>,
    /// A run begins only where its ticket can be opened.
    pub required: bool,
}

/// A language of texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Russian.
    Ru,
}

impl Settings {
    /// From `tickets:` as an inventory keeps it; what cannot be read says nothing, `lint` has told of it.
    pub fn of(written: Option<&serde_json::Value>) -> Self {
        written.and_then(|value| serde_json::from_value(value.clone()).ok()).unwrap_or_default()
    }
}
