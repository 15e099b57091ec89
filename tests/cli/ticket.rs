use crate::Site;
use std::{io::Write as _, process::Stdio};
use svcops::{
    base::{Clock as _, WallClock},
    ticket::{Attachment, Desk, Stamp, TicketSystem as _},
};

/// A file in a ticket, as a run leaves its report.
fn attach(site: &Site, id: &str, name: &str, text: &str) {
    let desk = Desk::of(&site.path("state"));
    let stamp = Stamp { key: None, author: "reporter".into(), at: WallClock.now() };
    let file = Attachment { name: name.into(), media: "text/html".into(), bytes: text.into() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(desk.attach(&desk.id(id).unwrap(), &stamp, &file)).unwrap();
}

fn filtered() -> Site {
    let site = Site::new().host("web-1");
    let user = svcops::journal::event::Operator::here().name;
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&format!(r"(?m)\b{user}\b"), "[USER]");
    settings.add_filter(r"(?m)^\d\d:\d\d:\d\d", "[CLOCK]");
    settings.add_filter(r"(?m)^\d{4}-\d\d-\d\d$", "[DAY]");
    // for the rest of this test: its thread ends with it
    std::mem::forget(settings.bind_to_scope());
    site
}

#[test]
fn a_ticket_is_opened_talked_in_and_closed() {
    let site = filtered();
    insta::assert_snapshot!(site.svcops("ticket list"), @r"
    exit: 0
    --- stdout
    no open tickets; `svcops ticket list --all` lists those that are done, too
    ");
    let opened = site.svcops("ticket new 'Обновление ядра' --text 'Просит безопасность'").exits(0);
    assert_eq!(opened.stdout, "SV-000001\n", "for `--ticket $(svcops ticket new …)`");
    assert_eq!(opened.stderr, "");
    site.svcops(
        "ticket new 'Replace the disk of web-1, which has reported errors since last night, and check the array'",
    );
    insta::assert_snapshot!(site.svcops("ticket comment 1 'начали' --open"), @r"
    exit: 0
    --- stdout
    SV-000001: commented, now open
    ");
    insta::assert_snapshot!(site.svcops("ticket comment sv-2 --done"), @r"
    exit: 0
    --- stdout
    SV-000002: now done
    ");
    insta::assert_snapshot!(site.svcops("ticket list"), @r"
    exit: 0
    --- stdout
    TICKET     STATE  SUBJECT          RUN  UPDATED
    SV-000001  open   Обновление ядра       [WHEN]
    ");
    insta::assert_snapshot!(site.svcops("ticket list done new"), @r"
    exit: 0
    --- stdout
    TICKET     STATE  SUBJECT                                                      RUN  UPDATED
    SV-000002  done   Replace the disk of web-1, which has reported errors since        [WHEN]
                      last night, and check the array
    ");
    attach(&site, "SV-000001", "report.html", "<h1>Отчёт</h1>");
    insta::assert_snapshot!(site.svcops("ticket show SV-000001"), @r"
    exit: 0
    --- stdout
    ticket   SV-000001
    subject  Обновление ядра
    state    open
    opened   [WHEN] UTC by [USER]
    file     report.html, 19 bytes

    [DAY]
    [CLOCK]  [USER]
              Просит безопасность
    [CLOCK]  [USER]
              начали
    [CLOCK]  [USER]: now open
    [CLOCK]  reporter: attached report.html

    `svcops ticket attachment SV-000001 report.html` saves that file here
    ");

    let list = site.svcops("ticket list --all -o json").exits(0).json();
    assert_eq!((&list["schema_version"], &list["tickets"][0]["id"]), (&1.into(), &"SV-000002".into()));
    let shown = site.svcops("ticket comment 1 --waiting -o json").exits(0).json();
    assert_eq!(shown["ticket"]["state"], "waiting");
    assert_eq!(shown["ticket"]["entries"].as_array().unwrap().last().unwrap()["what"], "state");
}

#[test]
fn a_comment_can_come_from_stdin_in_several_lines() {
    let site = filtered();
    site.svcops("ticket new x").exits(0);
    let mut child = site.command("ticket comment 1 -").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let long = "Список узлов, на которых диск заменён и массив собран заново, без единой ошибки при проверке чтением";
    child.stdin.take().unwrap().write_all(format!("Итог:\n- {long}\n  - подпункт\n\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    insta::assert_snapshot!(site.svcops("ticket show 1"), @r"
    exit: 0
    --- stdout
    ticket   SV-000001
    subject  x
    state    new
    opened   [WHEN] UTC by [USER]

    [DAY]
    [CLOCK]  [USER]
              Итог:
              - Список узлов, на которых диск заменён и массив собран заново, без единой ошибки при
                проверке чтением
                - подпункт
    ");
    insta::assert_snapshot!(site.svcops("ticket comment 1 ' '"), @r"
    exit: 2
    --- stderr
    error: the comment is empty
    ");
    site.svcops("ticket comment 1 -").exits(2);
    site.svcops("ticket comment 1").exits(2);
    site.svcops("ticket comment 1 x --done --open").exits(2);
}

#[test]
fn tickets_fit_a_narrow_and_a_wide_terminal() {
    let site = filtered();
    let subject =
        "Перезапуск биллинга на всех узлах второго дата-центра с обновлением конфигурации и проверкой здоровья";
    site.svcops(&format!("ticket new '{subject}' --text '{subject}. {subject}.'")).exits(0);
    for columns in [60, 80, 200] {
        for words in ["ticket list", "ticket show 1"] {
            let output = site.command(words).env("COLUMNS", columns.to_string()).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= columns, "{words} at {columns}:\n{text}");
            assert!(columns < 200 || text.contains(subject), "{text}");
        }
    }
}

#[test]
fn an_attached_file_is_saved_and_overwrites_nothing_unasked() {
    let site = filtered();
    site.svcops("ticket new x").exits(0);
    insta::assert_snapshot!(site.svcops("ticket attachment 1"), @r"
    exit: 2
    --- stderr
    error: ticket `SV-000001` has no files
    ");
    attach(&site, "1", "report.html", "<h1>Отчёт</h1>");
    assert_eq!(site.svcops("ticket attachment 1").exits(0).stdout, "report.html\n");
    assert_eq!(std::fs::read_to_string(site.root().join("report.html")).unwrap(), "<h1>Отчёт</h1>");
    insta::assert_snapshot!(site.svcops("ticket attachment 1"), @r"
    exit: 2
    --- stderr
    error: could not write `report.html`
      caused by: file exists
    hint: `--to PATH` names another place
    ");
    attach(&site, "1", "report.html", "new");
    let there = site.path("other.html");
    site.svcops(&format!("ticket attachment 1 report.html --to {}", there.display())).exits(0);
    site.svcops(&format!("ticket attachment 1 --to {}", site.home().display())).exits(0);
    for path in [there, site.home().join("report.html")] {
        assert_eq!(std::fs::read_to_string(path).unwrap(), "new");
    }
    assert_eq!(site.svcops("ticket attachment 1 --to -").exits(0).stdout, "new");
    attach(&site, "1", "../../evil", "x");
    insta::assert_snapshot!(site.svcops("ticket attachment 1"), @r"
    exit: 2
    --- stderr
    error: ticket `SV-000001` has 2 files: which one?
    hint: `../../evil`, `report.html`
    ");
    insta::assert_snapshot!(site.svcops("ticket attachment 1 ../../evil"), @r"
    exit: 2
    --- stderr
    error: `../../evil` is no name for a file here
    hint: `--to FILE` gives it another
    ");
    assert!(!site.path("evil").exists());
    insta::assert_snapshot!(site.svcops("ticket attachment 1 none"), @r"
    exit: 2
    --- stderr
    error: ticket `SV-000001` has no attachment `none`
    hint: `svcops ticket show SV-000001` lists its files
    ");
}

#[test]
fn what_is_no_ticket_is_said_so() {
    let site = filtered();
    for words in
        ["ticket show 7", "ticket show SV-x", "ticket show last", "ticket show 01J9ZK3V7Q", "ticket comment 7 x"]
    {
        site.svcops(words).exits(2);
    }
    insta::assert_snapshot!(site.svcops("ticket show 7"), @r"
    exit: 2
    --- stderr
    error: there is no ticket `SV-000007`
    hint: `svcops ticket list --all` lists the tickets
    ");
    insta::assert_snapshot!(site.svcops("ticket show SV-x"), @r"
    exit: 2
    --- stderr
    error: `SV-x` is no ticket: an id such as SV-000123 expected
    hint: `svcops ticket list --all` lists the tickets
    ");
    site.svcops("ticket list -o jsonl").exits(2);
    site.svcops("ticket list open --all").exits(2);
}

#[test]
fn a_ticket_cannot_move_the_cursor() {
    let site = filtered();
    site.svcops("ticket new 'a\u{1b}[2Jb' --text 'c\u{1b}]0;d'").exits(0);
    for words in ["ticket list", "ticket show 1"] {
        let shown = site.svcops(words).exits(0).stdout;
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }
}

#[test]
fn what_could_not_be_told_is_told_by_a_sync_once() {
    let site = filtered().runbook(
        "
        svcops: 1
        name: same
        targets: web-1
        steps:
          - {name: Same, command: 'true', undo: [{command: 'true'}]}
        ",
    );
    // where the desk's file should be there is a folder: it cannot be opened
    let desk = site.path("state/desk.db");
    std::fs::create_dir(&desk).unwrap();
    site.svcops("run same --yes").exits(0);
    let list = site.svcops("ticket list").exits(75);
    assert!(
        list.stderr.contains("the desk [SITE]".replace("[SITE]", site.path("").to_str().unwrap()).trim()),
        "{list}"
    );
    let sync = site.svcops("ticket sync").exits(75);
    assert!(sync.stdout.is_empty() && sync.stderr.contains("for tickets not delivered\n  caused by: "), "{sync}");
    let json = site.svcops("ticket sync -o json").exits(75).json();
    assert_eq!((&json["outcome"], &json["exit_code"], &json["delivered"]), (&"not_now".into(), &75.into(), &0.into()));
    assert!(json["left"].as_u64().unwrap() > 0 && json["why"][0].as_str().unwrap().contains("desk.db"), "{json}");

    std::fs::remove_dir(&desk).unwrap();
    let sync = site.svcops("ticket sync").exits(0);
    assert!(sync.stdout.starts_with("delivered ") && sync.stderr.is_empty(), "{sync}");
    assert_eq!(site.svcops("ticket sync").exits(0).stdout, "nothing is left to be delivered\n");
    let ticket = site.svcops("ticket show last -o json").exits(0).json()["ticket"].clone();
    assert_eq!((&ticket["id"], &ticket["state"]), (&"SV-000001".into(), &"done".into()));
    let run = ticket["run"].as_str().unwrap().to_owned();
    let report = format!("report-{run}.html");
    assert_eq!(ticket["attachments"][0]["name"], report.as_str());
    assert_eq!(site.svcops(&format!("ticket attachment {run}")).exits(0).stdout, format!("{report}\n"));
    assert!(std::fs::read_to_string(site.root().join(report)).unwrap().starts_with("<!doctype html>"));
    assert_eq!(site.svcops("ticket list --all -o json").json()["tickets"].as_array().unwrap().len(), 1);
}
