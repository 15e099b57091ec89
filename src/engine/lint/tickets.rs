//! The project's own texts for tickets: each is checked against what it can name, and has a name that something asks for.

use crate::{
    base::{Spot, words},
    runbook::Project,
    ticket::{
        settings::Settings,
        texts::{self, Name},
    },
    yaml::{Fault, Faults, Sources as _},
};

pub(super) fn lint(project: &Project) -> Faults {
    let settings = Settings::of(project.inventory.tickets.as_ref());
    let Some(folder) = &settings.templates else { return Faults::default() };
    let (sources, folder) = (project.sources(), folder.trim_end_matches('/'));
    let mut faults = Faults::default();
    for path in sources.matching(&format!("{folder}/*.txt")) {
        let file = path.rsplit('/').next().unwrap_or(&path);
        let at = |line, column| Spot { file: path.clone(), line, column };
        let Some(name) = Name::of_file(file) else {
            let known: Vec<String> = Name::ALL.iter().map(|name| name.file()).collect();
            let near = words::nearest(file, known.iter().map(String::as_str));
            let hint = near.map_or_else(|| known.join(", "), |near| format!("did you mean `{near}`?"));
            faults.0.push(Fault::error(at(1, 1), format!("no ticket text is called `{file}`")).hint(hint));
            continue;
        };
        match sources.read(&path) {
            Err(why) => faults.0.push(Fault::error(at(1, 1), format!("`{path}` cannot be read: {why}"))),
            Ok(text) => {
                if let Err(wrong) = texts::check(name, settings.language, &text) {
                    let before = text.get(..wrong.at.unwrap_or(0)).unwrap_or_default();
                    let line = before.matches('\n').count() + 1;
                    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                    let fault = Fault::error(at(line, column), wrong.what);
                    faults.0.push(wrong.hint.into_iter().fold(fault, Fault::hint));
                }
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_in_a_text_is_found_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "svcops.yaml",
            "project: crm\ntickets: {language: ru, templates: tickets/}\nhosts:\n  here: {local: true}\n",
        );
        write("tickets/opened.txt", "Начато: {{ run.title }}\n");
        write("tickets/phase.txt", "Шаг {{ phase.step }}\nгде: {{ phase.hots | names }}\n");
        write("tickets/ended.txt", "{% if ended.why %}\n{{ ended.why }}\n");
        write("tickets/fase.txt", "");
        let project = Project::open(folder.path(), &[]).unwrap();
        let found: Vec<String> = lint(&project)
            .0
            .into_iter()
            .map(|f| {
                let hint = f.hint.map_or_else(String::new, |hint| format!("; {hint}"));
                format!("{}:{}:{}: {}{hint}", f.spot.file, f.spot.line, f.spot.column, f.message)
            })
            .collect();
        insta::assert_snapshot!(found.join("\n"), @r"
        tickets/ended.txt:2:14: it cannot be read: unexpected end of input, expected end of block
        tickets/fase.txt:1:1: no ticket text is called `fase.txt`; did you mean `phase.txt`?
        tickets/phase.txt:2:9: unknown name `phase.hots`; did you mean `phase.hosts`?
        ");
        std::fs::remove_dir_all(folder.path().join("tickets")).unwrap();
        let faults = Project::open(folder.path(), &[]).unwrap_err();
        assert!(faults.0[0].message.contains("no ticket text in the folder `tickets/`"), "{faults:?}");
        assert_eq!((faults.0[0].spot.line, faults.0[0].spot.column), (2, 36));
    }
}
