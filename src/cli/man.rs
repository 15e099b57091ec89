//! `svcops man`: a page for svcops and one for every verb, drawn from the same tree and the same texts as `--help`.

use super::{Face, args::Cli, env, exit::ExitCode, map, words::Failure};
use crate::{base::words, journal::place, runbook::project};
use clap::{Arg, Command, CommandFactory as _};
use roff::{Roff, bold, italic, roman};
use std::path::PathBuf;

/// `man`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A folder that is there, for all pages; without one svcops(1) is printed
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub folder: Option<PathBuf>,
}

/// For its help.
pub const EXAMPLES: &str = "Examples:
  svcops man /usr/local/share/man/man1  then: man svcops, man svcops-run
  svcops man . -q                       into this folder, without a word";

/// A page: the name of its file, and its text as troff(1) reads it.
pub struct Page {
    /// `svcops-app-restart.1`.
    pub file: String,
    /// In the macros of man(7).
    pub text: String,
}

impl Face {
    pub(super) fn man(&self, args: &Args) -> Result<ExitCode, Failure> {
        self.no_stream()?;
        let pages = pages();
        let Some(dir) = &args.folder else {
            for page in pages.iter().take(1) {
                self.screen.data(&page.text);
            }
            return Ok(ExitCode::Done);
        };
        for page in &pages {
            let path = dir.join(&page.file);
            std::fs::write(&path, &page.text).map_err(|why| Failure::file("write", &path, &why))?;
        }
        if !self.global.quiet {
            self.screen.data(&format!("{} written to {}\n", words::count("page", pages.len()), dir.display()));
        }
        Ok(ExitCode::Done)
    }
}

/// All pages, svcops(1) first. They depend on no terminal and on no day.
pub fn pages() -> Vec<Page> {
    let mut tree = map::tree(Cli::command(), usize::MAX);
    tree.build();
    let mut pages = Vec::new();
    add(&tree, &[], &tree, &mut pages);
    pages
}

fn add(tree: &Command, above: &[&str], at: &Command, pages: &mut Vec<Page>) {
    pages.push(page(tree, above, at));
    let words: Vec<&str> = above.iter().copied().chain([at.get_name()]).collect();
    for deeper in deeper(at) {
        add(tree, &words, deeper, pages);
    }
}

/// The verbs that have a page.
fn deeper(of: &Command) -> impl Iterator<Item = &Command> {
    of.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
}

fn page(tree: &Command, above: &[&str], of: &Command) -> Page {
    let name = above.iter().copied().chain([of.get_name()]).collect::<Vec<_>>().join("-");
    let is_root = above.is_empty();
    // what every verb takes stands in svcops(1) once
    let general = |id: &str| !is_root && tree.get_arguments().any(|a| a.get_id() == id) && !map::PARTIAL.contains(&id);
    let shown = of.clone().mut_args(|arg| {
        let id = arg.get_id().as_str();
        let hidden = arg.is_hide_set() || general(id) || !is_root && id == "help";
        arg.hide(hidden)
    });
    let mut page = Roff::new();
    // no date, which would be another one each day; in quotes, else the next word takes its place
    let title = format!(".TH {} 1 \"\" svcops \"Manual of svcops\"\n", name.to_uppercase());
    let about = of.get_about().map(ToString::to_string).unwrap_or_default();
    let long = of.get_long_about().map_or_else(|| about.clone(), ToString::to_string);
    section(&mut page, "NAME", &[format!("{name} - {about}")]);
    let usage = shown.clone().render_usage().to_string();
    let usage = usage.split_once(' ').map_or("", |(_, usage)| usage.trim());
    page.control("SH", ["SYNOPSIS"]);
    page.text([bold(usage)]);
    section(&mut page, "DESCRIPTION", &paragraphs(&long));
    options(&mut page, &shown);
    if !is_root {
        page.control("PP", []);
        page.text([roman("Options that every verb has (-C, --state, -o, -q, -v, --color) are in svcops(1).")]);
    }
    verbs(&mut page, of, &name);
    let notes = of.get_after_long_help().or_else(|| of.get_after_help()).map(ToString::to_string).unwrap_or_default();
    let notes = Notes::read(&notes);
    section(&mut page, "NOTES", &notes.prose);
    if is_root {
        exit_status(&mut page);
        listed(&mut page, "FILES", &files());
        listed(&mut page, "ENVIRONMENT", &environment(tree));
    } else {
        let status = if notes.exit.is_empty() { "By the table in svcops(1).".to_owned() } else { notes.exit };
        section(&mut page, "EXIT STATUS", &[status]);
    }
    examples(&mut page, &notes.examples);
    see_also(&mut page, above, of);
    Page { file: format!("{name}.1"), text: ascii(&(title + &page.to_roff())) }
}

/// Letters of other alphabets as troff(1) names them: only some ways to a page guess an encoding.
fn ascii(text: &str) -> String {
    let letter = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\[u{:04X}]", u32::from(c)) };
    text.chars().map(letter).collect()
}

/// What stands below the options in `--help`, taken apart.
#[derive(Default)]
struct Notes {
    examples: Vec<String>,
    exit: String,
    prose: Vec<String>,
}

impl Notes {
    fn read(text: &str) -> Self {
        let mut notes = Self::default();
        for block in text.split("\n\n").map(str::trim_end).filter(|block| !block.trim().is_empty()) {
            if let Some(lines) = block.strip_prefix("Examples:\n") {
                notes.examples.extend(lines.lines().map(|line| line.trim().to_owned()));
            } else if let Some(codes) = block.strip_prefix("Exit code: ") {
                codes.clone_into(&mut notes.exit);
            } else if !block.starts_with("Exit codes of verbs") {
                notes.prose.push(block.to_owned());
            }
        }
        notes
    }
}

fn section(page: &mut Roff, name: &str, paragraphs: &[String]) {
    for (n, paragraph) in paragraphs.iter().enumerate() {
        if n == 0 {
            page.control("SH", [name]);
        } else {
            page.control("PP", []);
        }
        page.text([roman(paragraph.as_str())]);
    }
}

fn paragraphs(text: &str) -> Vec<String> {
    text.split("\n\n").map(|paragraph| paragraph.trim().to_owned()).filter(|paragraph| !paragraph.is_empty()).collect()
}

/// Arguments first, then options under their headings, in the order of `--help`.
fn options(page: &mut Roff, of: &Command) {
    let shown: Vec<&Arg> = of.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
    let heading = |arg: &Arg| match arg.get_help_heading() {
        _ if arg.is_positional() => "ARGUMENTS".to_owned(),
        heading => heading.unwrap_or("Options").to_uppercase(),
    };
    let mut headings: Vec<String> = vec!["ARGUMENTS".to_owned(), "OPTIONS".to_owned()];
    for arg in &shown {
        if !headings.contains(&heading(arg)) {
            headings.push(heading(arg));
        }
    }
    for name in headings {
        for (n, arg) in shown.iter().filter(|arg| heading(arg) == name).enumerate() {
            if n == 0 {
                page.control("SH", [name.as_str()]);
            }
            option(page, arg);
        }
    }
}

fn option(page: &mut Roff, arg: &Arg) {
    let mut head = Vec::new();
    let names = [arg.get_short().map(|c| format!("-{c}")), arg.get_long().map(|long| format!("--{long}"))];
    for name in names.into_iter().flatten() {
        if !head.is_empty() {
            head.push(roman(", "));
        }
        head.push(bold(name));
    }
    if arg.get_action().takes_values() {
        let values: Vec<&str> =
            arg.get_value_names().unwrap_or_default().iter().map(clap::builder::Str::as_str).collect();
        head.extend((!head.is_empty()).then(|| roman(" ")));
        head.push(italic(values.join(" ")));
    }
    page.control("TP", []);
    page.text(head);
    let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut told = paragraphs(&help);
    let default: Vec<String> = arg.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
    if !default.is_empty() && !arg.is_hide_default_value_set() && arg.get_action().takes_values() {
        told.push(format!("Default: {}", default.join(" ")));
    }
    for (n, paragraph) in told.iter().enumerate() {
        if n > 0 {
            page.control("IP", []);
        }
        page.text([roman(paragraph.as_str())]);
    }
    let values = arg.get_possible_values();
    let values: Vec<_> = values.iter().filter(|v| !v.is_hide_set() && arg.get_action().takes_values()).collect();
    if values.is_empty() {
        return;
    }
    page.control("RS", []);
    for value in values {
        page.control("TP", []);
        page.text([bold(value.get_name())]);
        page.text([roman(value.get_help().map(ToString::to_string).unwrap_or_default())]);
    }
    page.control("RE", []);
}

fn listed(page: &mut Roff, name: &str, items: &[(String, String)]) {
    page.control("SH", [name]);
    for (item, about) in items {
        page.control("TP", []);
        page.text([bold(item.as_str())]);
        page.text([roman(about.as_str())]);
    }
}

fn verbs(page: &mut Roff, of: &Command, name: &str) {
    let shown = deeper(of);
    let about = |verb: &Command| verb.get_about().map(ToString::to_string).unwrap_or_default();
    let items: Vec<(String, String)> =
        shown.map(|verb| (format!("{name}-{}(1)", verb.get_name()), about(verb))).collect();
    if !items.is_empty() {
        listed(page, "VERBS", &items);
    }
}

/// A line a command, its comment after it.
fn examples(page: &mut Roff, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    page.control("SH", ["EXAMPLES"]);
    for line in lines {
        let (command, about) =
            line.split_once("  ").map_or((line.as_str(), ""), |(command, about)| (command, about.trim()));
        page.control("TP", []);
        page.text([bold(command)]);
        if !about.is_empty() {
            page.text([roman(about)]);
        }
    }
}

fn exit_status(page: &mut Roff) {
    let acts = ExitCode::ALL.iter().map(|code| (code.number().to_string(), code.meaning().to_owned()));
    listed(page, "EXIT STATUS", &acts.collect::<Vec<_>>());
    let checks = ExitCode::ALL.iter().filter(|code| !code.checked().is_empty());
    let checks: Vec<String> = checks.map(|code| format!("{} {}", code.number(), code.checked())).collect();
    page.control("PP", []);
    page.text([roman("Where several hold: 4 before 3 before 130 before 1.")]);
    page.control("PP", []);
    page.text([roman(format!("Of verbs that check: {} (also wrong usage).", checks.join(", ")))]);
}

fn files() -> Vec<(String, String)> {
    [
        (
            project::FILE.to_owned(),
            "What exists: hosts, apps, balancers, sites. Found in the current folder or above it.",
        ),
        (format!("{}/**/*.yaml", project::RUNBOOKS), "The runbooks; that of a name is NAME.yaml there."),
        (
            format!("{}/projects/PROJECT", place::SHARED),
            "The journal and the locks of a project, shared by the group svcops; `svcops doctor --prepare` makes it.",
        ),
        ("~/.local/state/svcops/projects/PROJECT".to_owned(), "The same, one user's own, where nothing is shared."),
        ("~/.ssh/config".to_owned(), "How hosts are reached: whatever `ssh HOST` does, svcops does."),
    ]
    .map(|(file, about)| (file, about.to_owned()))
    .into()
}

fn environment(tree: &Command) -> Vec<(String, String)> {
    let of_option = |arg: &Arg| {
        let option = arg.get_long().map(|long| format!("As --{long}."))?;
        Some((arg.get_env()?.to_string_lossy().into_owned(), option))
    };
    let others = env::OTHERS.iter().map(|(name, about)| ((*name).to_owned(), (*about).to_owned()));
    tree.get_arguments().filter_map(of_option).chain(others).collect()
}

fn see_also(page: &mut Roff, above: &[&str], of: &Command) {
    let mut pages: Vec<String> = (1..=above.len()).filter_map(|n| Some(above.get(..n)?.join("-"))).collect();
    if above.is_empty() {
        pages.extend(["run", "status", "history"].map(|verb| format!("{}-{verb}", of.get_name())));
    }
    let pages: Vec<String> = pages.into_iter().map(|page| format!("{page}(1)")).collect();
    page.control("SH", ["SEE ALSO"]);
    page.text([roman(pages.join(", "))]);
}
