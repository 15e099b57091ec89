//! The tree of verbs as its users meet it: the map of `svcops --help`, grouped by what one wants to do, and for every verb
//! only the options that mean something to it.

use super::later;
use crate::ui::wrap;
use clap::{Arg, ArgMatches, Command};

/// The verbs by what one wants to do. A new verb is one word here; a test holds that none is left out. Those that
/// [`later`] still refuses have their place already, and are shown once they are there.
const MAP: &[(&str, &[&str])] = &[
    ("Run things", &["run", "app", "cert", "failover", "scale", "access", "resume", "rollback", "cancel", "resolve"]),
    ("Look", &["status", "plan", "rehearse", "inventory", "owed", "approvals", "schedule"]),
    ("Prove", &["history", "report", "ticket", "approve", "reject"]),
    ("Set up", &["demo", "init", "lint", "doctor", "schema", "completions", "man", "store"]),
];

/// Options of every verb that not every verb has a use for.
pub const PARTIAL: &[&str] = &["selector", "limit", "failed_from", "parallel", "yes", "ticket", "reason"];

/// Those of [`PARTIAL`] that the verb of these words has a use for.
pub fn known(words: &[&str]) -> &'static [&'static str] {
    match words {
        ["run"] | ["app", "stop" | "start" | "restart" | "reload"] | ["cert", "renew" | "import"] => PARTIAL,
        // a switch of some hosts only would be none: there is no selection
        ["failover"] | ["failover", "switch"] => &["parallel", "ticket", "reason"],
        ["failover", "drill" | "prepare" | "rejoin"] => &["parallel", "yes", "ticket", "reason"],
        ["plan" | "rehearse"] => &["selector", "limit", "failed_from", "parallel"],
        ["status" | "doctor"] | ["app", "status"] => &["selector", "parallel"],

        ["resume" | "rollback"] => &["parallel", "yes", "reason"],
        ["resolve" | "cancel"] => &["reason"],
        ["history", "prune"] => &["yes", "reason"],
        ["inventory", ..] | ["cert", "check" | "list"] => &["selector"],
        ["init"] | ["cert", "ca", "rotate" | "retire" | "revoke"] => &["yes"],
        _ => &[],
    }
}

/// Options of every verb that a verb with a world of its own has no use for.
pub fn elsewhere(words: &[&str]) -> &'static [&'static str] {
    match words {
        ["demo"] => &["dir", "state", "output", "quiet", "verbose"],
        _ => &[],
    }
}

/// The words of the verb, and the matches of the last of them.
pub fn path(matches: &ArgMatches) -> (Vec<String>, &ArgMatches) {
    let (mut words, mut last) = (Vec::new(), matches);
    while let Some((word, next)) = last.subcommand() {
        words.push(word.to_owned());
        last = next;
    }
    (words, last)
}

/// The tree, with texts for a terminal of that many columns.
pub fn tree(cli: Command, columns: usize) -> Command {
    let width = columns.min(WIDEST);
    let cli = cli.mut_args(in_short);
    let globals: Vec<Arg> = cli.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
    let cli = cli.mut_subcommands(|verb| with_globals(verb, &globals, &[]));
    let cli = later::add(cli).mut_args(|arg| {
        let partial = PARTIAL.contains(&arg.get_id().as_str());
        arg.hide_short_help(partial)
    });
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}{}\n{{options}}{{after-help}}\n",
        drawn(&cli, width),
        heading(&cli, "Options of every verb")
    );
    cli.help_template(template).term_width(width)
}

/// No line of help is longer: it is read, not scanned.
const WIDEST: usize = 100;

/// A verb with its own copies of the global options: those that mean nothing to it are not shown.
fn with_globals(verb: Command, globals: &[Arg], above: &[String]) -> Command {
    let words: Vec<String> = above.iter().cloned().chain([verb.get_name().to_owned()]).collect();
    let useful = useful(&verb, above);
    let elsewhere = elsewhere(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let verb = verb.mut_subcommands(|deeper| with_globals(deeper, globals, &words)).mut_args(in_short);
    globals.iter().fold(verb, |verb, arg| {
        let id = arg.get_id().as_str();
        let taken = verb.get_arguments().any(|own| own.get_id() == arg.get_id());
        let foreign = (PARTIAL.contains(&id) && !useful.contains(&id)) || elsewhere.contains(&id);
        if taken { verb } else { verb.arg(arg.clone().hide(foreign)) }
    })
}

/// What a verb has a use for; a verb of verbs shows what any of them has a use for.
fn useful(verb: &Command, above: &[String]) -> Vec<&'static str> {
    let words: Vec<String> = above.iter().cloned().chain([verb.get_name().to_owned()]).collect();
    let deeper = verb.get_subcommands().flat_map(|deeper| useful(deeper, &words));
    let own: Vec<&str> = words.iter().map(String::as_str).collect();
    known(&own).iter().copied().chain(deeper).collect()
}

/// The short help has a line an option; what variable stands for it is told in the long one.
fn in_short(arg: Arg) -> Arg {
    let Some(variable) = arg.get_env().map(|name| name.to_string_lossy().into_owned()) else { return arg };
    let long = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    arg.hide_env(true).long_help(format!("{long}\n\nVariable: {variable}"))
}

fn heading(cli: &Command, text: &str) -> String {
    let style = cli.get_styles().get_header();
    format!("{style}{text}:{style:#}")
}

/// The map: a heading a group, a line a verb.
fn drawn(cli: &Command, width: usize) -> String {
    let shown = |name: &str| cli.find_subcommand(name).filter(|verb| !verb.is_hide_set());
    let names = MAP.iter().flat_map(|(_, verbs)| *verbs).filter(|name| shown(name).is_some());
    let longest = names.map(|name| name.len()).max().unwrap_or_default();
    let literal = cli.get_styles().get_literal();
    let mut text = String::new();
    for (group, verbs) in MAP {
        let verbs: Vec<&Command> = verbs.iter().filter_map(|name| shown(name)).collect();
        if verbs.is_empty() {
            continue;
        }
        text += &(heading(cli, group) + "\n");
        for verb in verbs {
            let name = format!("  {:longest$}  ", verb.get_name());
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            let line = wrap::hanging(&name, &about, width);
            let (name, about) = line.split_at_checked(name.len()).unwrap_or((&line, ""));
            text += &format!("{literal}{name}{literal:#}{about}\n");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::args::Cli, ui::paint::uncoloured};
    use clap::CommandFactory as _;

    #[test]
    fn every_verb_has_one_place_in_the_map_and_every_place_a_verb() {
        let tree = tree(Cli::command(), 100);
        let mut placed: Vec<&str> = MAP.iter().flat_map(|(_, verbs)| *verbs).copied().collect();
        let mut verbs: Vec<&str> = tree.get_subcommands().map(Command::get_name).collect();
        // the demo's own servers: nobody types it
        verbs.retain(|verb| *verb != "demo-app");
        placed.sort_unstable();
        verbs.sort_unstable();
        assert_eq!(placed, verbs);
    }

    #[test]
    fn an_option_that_means_nothing_to_a_verb_is_not_in_its_help() {
        let mut tree = tree(Cli::command(), 100);
        tree.build();
        let mut help = |words: &[&str]| {
            let verb = words.iter().fold(&mut tree, |at, word| at.find_subcommand_mut(word).unwrap());
            verb.render_long_help().to_string()
        };
        for (words, option, there) in [
            (&["run"][..], "--yes", true),
            (&["lint"], "--yes", false),
            (&["lint"], "--dir", true),
            (&["app"], "--yes", true),
            (&["app", "restart"], "--ticket", true),
            (&["app", "status"], "--ticket", false),
            (&["history", "show"], "--selector", false),
            (&["demo"], "--state", false),
            (&["demo"], "--color", true),
        ] {
            assert_eq!(help(words).contains(option), there, "{words:?} {option}");
        }
    }

    #[test]
    fn no_verb_has_an_argument_by_the_name_of_an_option_of_every_verb() {
        fn taken(of: &Command, words: &str, globals: &[Arg], found: &mut Vec<String>) {
            for verb in of.get_subcommands() {
                let words = format!("{words} {}", verb.get_name());
                let own = verb.get_arguments().filter(|own| globals.iter().any(|g| g.get_id() == own.get_id()));
                found.extend(own.map(|own| format!("{words}: {}", own.get_id())));
                taken(verb, &words, globals, found);
            }
        }
        let cli = Cli::command();
        let globals: Vec<Arg> = cli.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
        let mut found = Vec::new();
        taken(&cli, "svcops", &globals, &mut found);
        // it would be given the other's value
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn the_map_fits_a_narrow_terminal() {
        for width in [40, 80, 200] {
            let cli = later::add(Cli::command());
            for line in drawn(&cli, width).lines() {
                let line = uncoloured(line);
                assert!(line.chars().count() <= width.min(100), "{width}: {line}");
            }
        }
    }
}
