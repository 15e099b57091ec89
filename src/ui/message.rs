//! The layout of errors, warnings and endings: what, why, where, what to do next. Worded elsewhere, laid out only here.

use super::{
    paint::{Paint, plain, uncoloured},
    wrap,
};
use serde_json::{Map, Value, json};

/// Something that is told to a person on stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// What happened or did not happen, to what: one line, lower case, no stop at its end.
    pub title: String,
    /// Why, the nearest cause first.
    pub causes: Vec<String>,
    /// Facts under a label: `step`, `undone`, `stands`, `owed`, `run`.
    pub rows: Vec<(&'static str, String)>,
    /// A block that is shown as it is, such as an excerpt of a file.
    pub block: Option<String>,
    /// What to do next; two at the most.
    pub hints: Vec<String>,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something failed or was refused.
    Error,
    /// Something should be known.
    Warning,
    /// Something went well.
    Done,
    /// Nobody knows, or it was stopped.
    Stopped,
}

impl Message {
    /// A message of that kind.
    pub fn new(kind: Kind, title: impl Into<String>) -> Self {
        Self { kind, title: title.into(), causes: Vec::new(), rows: Vec::new(), block: None, hints: Vec::new() }
    }
    /// An error.
    pub fn error(title: impl Into<String>) -> Self {
        Self::new(Kind::Error, title)
    }
    /// A warning.
    pub fn warning(title: impl Into<String>) -> Self {
        Self::new(Kind::Warning, title)
    }
    /// An error with its sources as causes; a source that only repeats the line above is left out.
    pub fn of(error: &dyn std::error::Error) -> Self {
        let mut message = Self::error(error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            message = message.because(cause.to_string());
            source = cause.source();
        }
        message
    }
    /// With one more cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        let cause = cause.into();
        let above = self.causes.last().unwrap_or(&self.title);
        if !cause.is_empty() && !above.ends_with(&cause) {
            self.causes.push(cause);
        }
        self
    }
    /// With a fact under a label.
    #[must_use]
    pub fn row(mut self, label: &'static str, text: impl Into<String>) -> Self {
        self.rows.push((label, text.into()));
        self
    }
    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The message as JSON, for a command that ended without an answer: an interface.
    pub fn json(&self, exit_code: u8) -> Value {
        let facts: Map<String, Value> =
            self.rows.iter().filter(|(label, _)| !label.is_empty()).map(|(l, t)| ((*l).to_owned(), json!(t))).collect();
        let mut error = json!({"message": self.title, "causes": self.causes, "hints": self.hints});
        if let Some(error) = error.as_object_mut() {
            if !facts.is_empty() {
                error.insert("facts".to_owned(), Value::Object(facts));
            }
            if let Some(block) = &self.block {
                error.insert("excerpt".to_owned(), json!(plain(&uncoloured(block))));
            }
        }
        json!({"schema_version": 1, "error": error, "exit_code": exit_code})
    }

    /// The text, with a newline at its end, in lines of at most `width` columns.
    pub fn text(&self, paint: Paint, width: usize) -> String {
        let (word, painted) = match self.kind {
            Kind::Error => ("error", paint.red("error")),
            Kind::Warning => ("warning", paint.yellow("warning")),
            Kind::Done => ("done", paint.green("done")),
            Kind::Stopped => ("stopped", paint.yellow("stopped")),
        };
        let title = wrap::hanging(&format!("{word}: "), &plain(&self.title), width);
        let mut text = title.replacen(word, &painted, 1) + "\n";
        for cause in &self.causes {
            text += &wrap::hanging("  caused by: ", &plain(cause), width);
            text.push('\n');
        }
        if let Some(block) = &self.block {
            text += block.trim_end();
            text.push('\n');
        }
        for (label, fact) in &self.rows {
            text += &wrap::hanging(&format!("  {label:<7} "), &plain(fact), width);
            text.push('\n');
        }
        for hint in &self.hints {
            text += &wrap::hanging("hint: ", &plain(hint), width).replacen("hint", &paint.cyan("hint"), 1);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_where_and_what_next() {
        let message = Message::error("`billing.service` on `dc1-app2` did not become healthy within 30 s")
            .because("HTTP 503 from http://10.77.0.12:8080/health, 31 tries")
            .row("step", "New configuration, then app.restart (2.2 of 3), runbooks/billing-restart.yaml:20")
            .row("stands", "nothing")
            .row("run", "01J9ZK3V7Q")
            .hint("`svcops history show 01J9ZK3V7Q` has the output");
        insta::assert_snapshot!(message.text(Paint::default(), 60), @r"
        error: `billing.service` on `dc1-app2` did not become
               healthy within 30 s
          caused by: HTTP 503 from http://10.77.0.12:8080/health, 31
                     tries
          step    New configuration, then app.restart (2.2 of 3),
                  runbooks/billing-restart.yaml:20
          stands  nothing
          run     01J9ZK3V7Q
        hint: `svcops history show 01J9ZK3V7Q` has the output
        ");
    }

    #[test]
    fn a_source_that_repeats_the_line_above_is_left_out() {
        #[derive(Debug, thiserror::Error)]
        #[error("could not open `x`: {0}")]
        struct Outer(#[source] std::io::Error);
        let outer = Outer(std::io::Error::other("disk gone"));
        assert_eq!(Message::of(&outer).causes, Vec::<String>::new());
    }
}
