//! Names in expressions that can be judged without values.

use crate::{base::words, runbook::template::ROOTS};
use std::collections::BTreeSet;

/// What minijinja brings along.
const GLOBALS: &[&str] = &["secret", "range", "dict", "namespace", "debug", "loop"];

/// What is known while a runbook is read from top to bottom.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The params.
    pub(super) params: BTreeSet<String>,
    /// Those that have no value here.
    pub(super) open: BTreeSet<String>,
    /// The ids of the steps above.
    pub(super) ids: BTreeSet<String>,
}

impl Known {
    /// What is wrong with these names; none: nothing that shows without values.
    pub(super) fn wrong(&self, names: &BTreeSet<String>, secrets: bool) -> Vec<String> {
        names.iter().filter_map(|name| self.one(name, secrets)).collect()
    }
    /// Whether values for these names are missing before a run.
    pub(super) fn depends(&self, names: &BTreeSet<String>) -> bool {
        names.iter().any(|name| {
            let mut parts = name.split('.');
            match parts.next() {
                Some("steps") => true,
                Some("params") => parts.next().map_or(!self.open.is_empty(), |p| self.open.contains(p)),
                _ => false,
            }
        })
    }
    fn one(&self, name: &str, secrets: bool) -> Option<String> {
        let mut parts = name.split('.');
        let (root, next) = (parts.next().unwrap_or_default(), parts.next());
        match (root, next) {
            ("secret", _) if !secrets => Some(
                "a secret cannot stand here: only in `env`, `stdin`, `headers`, `content` and template files"
                    .to_owned(),
            ),
            ("params", Some(param)) if !self.params.contains(param) => {
                Some(format!("there is no param `{param}`{}", near(param, self.params.iter().map(String::as_str))))
            }
            ("steps", Some(id)) if !self.ids.contains(id) => {
                let hint = near(id, self.ids.iter().map(String::as_str));
                Some(format!("no step above has the id `{id}`{hint}"))
            }
            ("steps", Some(id)) => match parts.next() {
                Some("one" | "at") | None => None,
                Some(other) => Some(format!("`steps.{id}` has `one` and `at`, not `{other}`")),
            },
            _ if ROOTS.contains(&root) || GLOBALS.contains(&root) => None,
            _ => Some(format!("`{root}` means nothing in an expression{}", near(root, ROOTS.iter().copied()))),
        }
    }
}

fn near<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    words::nearest(word, known).map_or_else(String::new, |n| format!("; did you mean `{n}`?"))
}
