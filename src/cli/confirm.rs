//! Questions before a change.

use super::{Face, stage::Set, words::Failure};
use crate::ui::{
    message::Message,
    prompt::{self, NoAnswer},
};
use tokio::sync::oneshot;

/// A word that must be typed before a change, where a yes is too little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word: a site's name.
    pub word: String,
    /// What `--confirm` says.
    pub given: Option<String>,
}

impl Word {
    /// Whether `--confirm` says it; no matter where it says nothing and somebody can be asked.
    ///
    /// # Errors
    /// It says another word, or nothing where there is nobody to ask.
    pub fn fits(&self) -> Result<(), Failure> {
        match &self.given {
            Some(given) if *given == self.word => Ok(()),
            Some(given) => {
                let message = format!("`--confirm {given}` does not confirm `{}`; nothing was touched", self.word);
                Err(Failure::wrong(Message::error(message)))
            }
            None if prompt::possible() => Ok(()),
            None => Err(self.nobody()),
        }
    }

    fn nobody(&self) -> Failure {
        let message =
            Message::error("this moves a service and nobody can be asked for the site's name: there is no terminal");
        Failure::wrong(message.hint(format!("`--confirm {}` answers for scripts; `--yes` does not", self.word)))
    }
}

impl Face {
    /// Asks before a change, unless `--yes` has answered. A signal is an answer too.
    ///
    /// # Errors
    /// The answer is no, a signal came, or there is nobody to ask.
    pub async fn confirm(&self, set: &Set, question: &str) -> Result<(), Failure> {
        if self.global.yes {
            return Ok(());
        }
        let words = question.to_owned();
        match self.asked(set, move || prompt::yes(&words)).await? {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::wrong(Message::error("not confirmed; nothing was touched"))),
            Err(NoAnswer::NoTerminal(_)) => Err(Failure::wrong(
                Message::error("this changes things and nobody can be asked: there is no terminal")
                    .hint("`--yes` answers for cron and CI"),
            )),
            Err(ended @ NoAnswer::Ended) => Err(Failure::wrong(Message::error(ended.to_string()))),
        }
    }

    /// Asks for a word before a change, unless `--confirm` has said it. A signal is an answer too.
    ///
    /// # Errors
    /// The answer is another one, a signal came, or there is nobody to ask.
    pub async fn confirm_by(&self, set: &Set, question: &str, word: &Word) -> Result<(), Failure> {
        word.fits()?;
        if word.given.is_some() {
            return Ok(());
        }
        let words = format!("{question} Type `{}` to go on", word.word);
        match self.asked(set, move || prompt::with_default(&words, "")).await? {
            Ok(typed) if typed == word.word => Ok(()),
            Ok(_) => Err(Failure::wrong(Message::error("not confirmed; nothing was touched"))),
            Err(NoAnswer::NoTerminal(_)) => Err(word.nobody()),
            Err(ended @ NoAnswer::Ended) => Err(Failure::wrong(Message::error(ended.to_string()))),
        }
    }

    /// The answer of the person at the terminal.
    async fn asked<T: Send + 'static>(
        &self,
        set: &Set,
        ask: impl Fn() -> Result<T, NoAnswer> + Clone + Send + 'static,
    ) -> Result<Result<T, NoAnswer>, Failure> {
        let (tell, told) = oneshot::channel();
        let question = ask.clone();
        // A thread of its own: the runtime would wait for one of its threads to come back from the terminal.
        let asked = std::thread::Builder::new().name("question".to_owned()).spawn(move || {
            // after a signal nobody waits for the answer
            drop(tell.send(question()));
        });
        let answer = match asked {
            Ok(_) => set.unless_stopped(told).await.inspect_err(|_| {
                // the question's line is not ended yet
                self.screen.note("\n");
            })?,
            Err(_) => Ok(ask()),
        };
        Ok(answer.unwrap_or(Err(NoAnswer::Ended)))
    }
}
