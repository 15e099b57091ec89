use crate::Site;
use std::os::unix::fs::PermissionsExt as _;

/// A run that wrote a file and said something that looks like markup, and one that failed and went back.
fn site() -> Site {
    let site = Site::new().host("web-1");
    let good = site.fill(
        "
        svcops: 1
        name: marks
        title: Отметки <за день>
        targets: role=web
        steps:
          - name: Записать
            file.copy: {content: \"new\\n\", dest: \"SITE/out\"}
          - name: Say it
            command: \"echo '<script>alert(1)</script>'\"
            undo: [{command: \"true\"}]
        ",
    );
    let bad = site.fill(
        "
        svcops: 1
        name: failing
        targets: role=web
        steps:
          - name: Записать
            file.copy: {content: \"newer\\n\", dest: \"SITE/out\"}
          - name: Смотреть
            check.command: {run: \"exit 7\"}
        ",
    );
    let site = site.runbook(&good).runbook(&bad);
    std::fs::write(site.path("out"), "old\n").unwrap();
    site.svcops("run marks --yes -q --reason 'плановые работы'").exits(0);
    site
}

#[test]
fn the_page_shows_before_and_after_and_is_written_as_other_files_are() {
    let site = site();
    let file = site.path("run.html");
    let said = site.svcops(&format!("report last --html {}", file.display())).exits(0);
    assert!(said.stdout.is_empty() && said.stderr.starts_with("done: report of run"), "{said}");
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    assert!(page.contains("<h1>Отметки &lt;за день&gt;</h1>") && page.contains("плановые работы"));
    assert!(page.contains("<del>-old</del><ins>+new</ins>"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains("<script"), "{page}");
    assert!(page.contains("nothing was changed, moved or taken out") && page.contains("history verify --against"));
    // readable as the umask says; nothing is left beside it, and a second report takes the place of the first
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o600, 0o600);
    site.svcops(&format!("report last -q --html {}", file.display())).exits(0);
    let left = std::fs::read_dir(site.path("")).unwrap().flatten().filter(|e| {
        let name = e.file_name().into_string().unwrap();
        name.contains("run.html") && name != "run.html"
    });
    assert_eq!(left.count(), 0);
    let run = site.svcops("history list -o json").json()["runs"][0]["run"].as_str().unwrap().to_owned();
    assert_eq!(site.svcops(&format!("report {} --html", run.to_lowercase())).exits(0).stdout.len(), page.len());
}

#[test]
fn a_note_is_what_is_written_unless_another_form_is_asked_for() {
    let site = site();
    site.svcops("run failing --yes -q").exits(1);
    let note = site.svcops("report last").exits(0).stdout;
    assert!(note.starts_with("## ↩ Failed and taken back: failing\n"), "{note}");
    assert!(note.contains("| 1 Записать | web-1 | write `") && note.contains("| ↩ as before |"), "{note}");
    for words in ["report last -o markdown", "report last --markdown -", "report last --markdown"] {
        assert_eq!(site.svcops(words).exits(0).stdout, note, "{words}");
    }
    let xml = site.svcops("report last -o junit").exits(0).stdout;
    assert!(xml.starts_with("<?xml") && xml.contains("<failure message=\"") && xml.contains("Смотреть@web-1"), "{xml}");
    let json = site.svcops("report last -o json").exits(0).json();
    assert_eq!(
        (&json["schema_version"], &json["outcome"], &json["exit_code"]),
        (&1.into(), &"rolled_back".into(), &1.into())
    );
    assert_eq!(json["changed"][0]["now"], "as before");

    let (page, report) = (site.path("a.html"), site.path("a.xml"));
    site.svcops(&format!("report last --html {} --junit {} -q", page.display(), report.display())).exits(0);
    assert!(page.exists() && std::fs::read_to_string(report).unwrap() == xml);
}

#[test]
fn what_cannot_be_written_is_said_and_nothing_is_left() {
    let site = site();
    let both = site.svcops("report last --html --junit").exits(2);
    assert!(both.stdout.is_empty() && both.stderr.contains("cannot share stdout"), "{both}");
    site.svcops("report 01J9ZK3V7Q --html").exits(2);
    site.svcops("report last -o jsonl").exits(2);
    let nowhere = site.svcops("report last --html /nowhere/run.html").exits(2);
    assert!(nowhere.stderr.contains("could not write `/nowhere/run.html`"), "{nowhere}");
    let foreign = site.svcops("history list -o junit").exits(2);
    assert!(foreign.stderr.contains("`-o junit` belongs to `svcops report`"), "{foreign}");
}

#[test]
fn a_report_that_stdout_cannot_take_is_an_error_and_a_reader_that_has_gone_is_none() {
    let site = site();
    for words in ["report last --html -", "report last -o json", "history show last", "history list", "run --help"] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = site.command(words).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert_eq!(said.matches("could not write to stdout").count(), 1, "{words}: {said}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = site.command(words).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{words}");
    }
}
