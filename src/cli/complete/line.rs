//! What a line that is not finished yet is about to say. Pure: it knows the tree of verbs, and nothing of the project.

use clap::{Arg, ArgAction, Command};
use std::collections::BTreeMap;

/// A line as far as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The words of the verb: `app`, `restart`.
    pub verb: Vec<String>,
    /// What was given so far, by the argument's id.
    pub given: BTreeMap<String, Vec<String>>,
    /// What the cursor stands in.
    pub at: At,
    /// What is written of it.
    pub word: String,
    /// What stands before that in the same word, and stays: `--site=`.
    pub kept: String,
}

/// What the cursor stands in.
#[derive(Clone, Debug, PartialEq)]
pub enum At {
    /// The next word of a verb.
    Verb,
    /// An option's name.
    Option,
    /// The value of the argument of this id.
    Value(String),
    /// Nothing more is expected.
    End,
}

/// Reads a line: `words` before the cursor, without svcops itself, and the `word` that the cursor stands in. `tree` is built.
pub fn read(tree: &Command, words: &[String], word: &str) -> Line {
    let (mut command, mut verb, mut given) = (tree, Vec::new(), BTreeMap::<String, Vec<String>>::new());
    let (mut waits, mut places, mut raw) = (None::<&Arg>, 0, false);
    for word in words {
        if let Some(arg) = waits.take() {
            give(&mut given, arg, word);
        } else if word == "--" && !raw {
            raw = true;
        } else if let Some(option) = options(command, word).filter(|_| !raw) {
            waits = option.into_iter().fold(None, |_, (arg, value)| match value {
                None if takes(arg) => Some(arg),
                value => {
                    give(&mut given, arg, value.unwrap_or_default());
                    None
                }
            });
        } else if let Some(next) = command.find_subcommand(word).filter(|_| places == 0) {
            command = next;
            verb.push(next.get_name().to_owned());
        } else {
            if let Some(arg) = place(command, places) {
                give(&mut given, arg, word);
            }
            places += 1;
        }
    }
    let value =
        |arg: &Arg, kept: &str, word: &str| (At::Value(arg.get_id().to_string()), kept.to_owned(), word.to_owned());
    let long = word.strip_prefix("--").and_then(|w| w.split_once('='));
    let (at, kept, word) = match (waits, long) {
        (Some(arg), _) => value(arg, "", word),
        (None, Some((name, rest))) if !raw => match command.get_arguments().find(|a| a.get_long() == Some(name)) {
            Some(arg) if takes(arg) => value(arg, &format!("--{name}="), rest),
            _ => (At::End, String::new(), word.to_owned()),
        },
        (None, _) if word.starts_with('-') && !raw => (At::Option, String::new(), word.to_owned()),
        (None, _) if places == 0 && command.has_subcommands() => (At::Verb, String::new(), word.to_owned()),
        (None, _) => match place(command, places) {
            Some(arg) => value(arg, "", word),
            None => (At::End, String::new(), word.to_owned()),
        },
    };
    Line { verb, given, at, word, kept }
}

/// The options that a word names, with what it says of their values: `--site=dc1`, `-Cdir`, `-qv`. None: it is no option.
fn options<'a, 'w>(command: &'a Command, word: &'w str) -> Option<Vec<(&'a Arg, Option<&'w str>)>> {
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        return Some(command.get_arguments().filter(|a| a.get_long() == Some(name)).map(|a| (a, value)).collect());
    }
    let mut rest = word.strip_prefix('-').filter(|rest| !rest.is_empty())?;
    let mut found = Vec::new();
    while let Some(letter) = rest.chars().next() {
        rest = rest.strip_prefix(letter).unwrap_or_default();
        let Some(arg) = command.get_arguments().find(|a| a.get_short() == Some(letter)) else { break };
        if takes(arg) {
            found.push((arg, (!rest.is_empty()).then(|| rest.strip_prefix('=').unwrap_or(rest))));
            break;
        }
        found.push((arg, None));
    }
    Some(found)
}

/// The argument that stands in that place; the last one may take many.
fn place(command: &Command, n: usize) -> Option<&Arg> {
    let last = command.get_positionals().last().filter(|arg| matches!(arg.get_action(), ArgAction::Append));
    command.get_positionals().nth(n).or(last)
}

fn takes(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

fn give(given: &mut BTreeMap<String, Vec<String>>, arg: &Arg, value: &str) {
    given.entry(arg.get_id().to_string()).or_default().push(value.to_owned());
}

/// A line as a shell would break it into words: the finished ones, and what is written of the last.
pub fn split(line: &str) -> (Vec<String>, String) {
    let (mut words, mut word, mut begun) = (Vec::new(), String::new(), false);
    let (mut quote, mut chars) = (None, line.chars());
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\\', None) => word.extend(chars.next()),
            ('\\', Some('"')) => match chars.next() {
                Some(next @ ('"' | '\\' | '$' | '`')) => word.push(next),
                next => {
                    word.push('\\');
                    word.extend(next);
                }
            },
            ('\'' | '"', None) => (quote, begun) = (Some(c), true),
            (c, None) if c.is_whitespace() => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (c, _) => word.push(c),
        }
    }
    (words, word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{args::Cli, map};
    use clap::CommandFactory as _;

    fn line(text: &str) -> Line {
        let mut tree = map::tree(Cli::command(), 100);
        tree.build();
        let (words, word) = split(text);
        read(&tree, &words, &word)
    }

    #[test]
    fn the_place_of_the_cursor_is_found_wherever_options_stand() {
        let value = |id: &str| At::Value(id.to_owned());
        for (text, at, word) in [
            ("", At::Verb, ""),
            ("ap", At::Verb, "ap"),
            ("app re", At::Verb, "re"),
            ("-C /x app restart bil", value("app"), "bil"),
            ("app -q restart --site ", value("site"), ""),
            ("app restart --site=d", value("site"), "d"),
            ("app restart billing ", At::End, ""),
            ("run bill", value("runbook"), "bill"),
            ("run x -p si", value("params"), "si"),
            ("run x -psite=d", At::Option, "-psite=d"),
            ("run --fa", At::Option, "--fa"),
            ("lint a b ", value("paths"), ""),
            ("resolve last 2.1@web-1 ", value("saw"), ""),
            ("history show --follow ", value("run"), ""),
            ("-qv history ", At::Verb, ""),
            ("-C", At::Option, "-C"),
            ("-Cdir his", At::Verb, "his"),
            ("run -- --x", value("runbook"), "--x"),
            ("run 'a b", value("runbook"), "a b"),
        ] {
            let line = line(text);
            assert_eq!((&line.at, line.word.as_str()), (&at, word), "{text}: {line:?}");
        }
        let line = line("-C /x run r -p a=1 --param=b=2 -p c");
        assert_eq!(
            (&line.given["params"], &line.given["dir"]),
            (&vec!["a=1".into(), "b=2".into()], &vec!["/x".into()])
        );
        assert_eq!(line.verb, ["run"]);
    }

    #[test]
    fn a_line_is_broken_as_a_shell_would() {
        for (text, words, word) in [
            ("run ", &["run"][..], ""),
            (r"run a\ b c", &["run", "a b"], "c"),
            (r#"run "a \" b" 'c\"#, &["run", "a \" b"], "c\\"),
            ("run '' ", &["run", ""], ""),
            ("run Перезапуск", &["run"], "Перезапуск"),
        ] {
            let found = split(text);
            assert_eq!(found, (words.iter().map(|w| (*w).to_owned()).collect(), word.to_owned()), "{text}");
        }
    }
}
