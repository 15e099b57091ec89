//! What the contract promises of files.

use super::*;
use std::path::Path;

pub(super) async fn a_file_is_put_at_its_place_and_brought_back(stage: &Stage) {
    use std::os::unix::fs::PermissionsExt;
    let path = stage.path("conf д'1");
    assert_eq!(stage.look(vec![Read::File { path: path.clone() }]).await, [Answer::File(None)]);
    assert_eq!(stage.do_once(stage.write(&path, "one\n")).await.outcome, Outcome::Ok);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(stage.do_once(stage.write(&path, "two\n")).await.outcome, Outcome::Ok);
    let answers = stage.look(vec![Read::File { path: path.clone() }]).await;
    let [Answer::File(Some(FileFacts { hash, size, mode, .. }))] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((hash, *size, *mode), (&Hash::of(b"two\n"), 4, 0o640));
    // back
    let before = Content { hash: Hash::of(b"one\n"), size: 4, from: Source::Undo };
    let back = stage.do_once(write(&path, before)).await;
    assert_eq!(back.outcome, Outcome::Ok, "{back:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
    assert_eq!(stage.fleet.fetch(&stage.place(), &path, 3).await.unwrap().unwrap(), b"one");
    // away, and back again
    assert_eq!(stage.do_once(Change::RemoveFile(path.clone())).await.outcome, Outcome::Ok);
    assert!(!Path::new(&path).exists());
    assert_eq!(stage.fleet.fetch(&stage.place(), &path, 3).await.unwrap(), None);
    let before = Content { hash: Hash::of(b"one\n"), size: 4, from: Source::Undo };
    assert_eq!(stage.do_once(write(&path, before)).await.outcome, Outcome::Ok);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
}

pub(super) async fn a_file_gets_another_name_where_nothing_is(stage: &Stage) {
    let (from, to) = (stage.path("ночной 'job"), stage.path("ночной 'job.off"));
    let there = || Change::MoveFile { from: from.clone(), to: to.clone() };
    let refused = stage.do_once(there()).await.outcome;
    assert!(matches!(&refused, Outcome::Refused(why) if why.contains("there is no file")), "{refused:?}");
    std::fs::write(&from, "one").unwrap();
    assert_eq!(stage.do_once(there()).await.outcome, Outcome::Ok);
    assert_eq!((Path::new(&from).exists(), std::fs::read_to_string(&to).unwrap().as_str()), (false, "one"));
    std::fs::write(&from, "two").unwrap();
    let refused = stage.do_once(there()).await.outcome;
    assert!(matches!(&refused, Outcome::Refused(why) if why.contains("is at")), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&from).unwrap(), "two");
}

pub(super) async fn what_was_kept_a_quarter_ago_is_kept_no_more(stage: &Stage) {
    let day = Duration::from_secs(24 * 60 * 60);
    let kept = [(80, true), (100, false)].map(|(days, stays)| {
        let folder = undo_folder().join(format!("{}-{days}", stage.run));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("key"), "old").unwrap();
        std::fs::File::open(&folder).unwrap().set_modified(std::time::SystemTime::now() - day * days).unwrap();
        (folder, stays)
    });
    let path = stage.path("renewed");
    std::fs::write(&path, "one").unwrap();
    assert_eq!(stage.do_once(stage.write(&path, "two")).await.outcome, Outcome::Ok);
    for (folder, stays) in kept {
        assert_eq!(folder.exists(), stays, "{}", folder.display());
        let _gone = std::fs::remove_dir_all(folder).is_ok();
    }
}

pub(super) fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.filter(|p| p.to_string_lossy().contains("svcops")).collect()
}

pub(super) async fn a_file_behind_a_link_is_written_through_it(stage: &Stage) {
    let (file, link) = (stage.path("real"), stage.path("link"));
    std::fs::write(&file, "old").unwrap();
    std::os::unix::fs::symlink("real", &link).unwrap();
    let change = Change::WriteFile {
        path: link.clone(),
        content: stage.vault.text(&Text::from("new")).unwrap(),
        mode: Some(0o4711),
        owner: None,
        group: None,
        validate: None,
    };
    assert_eq!(stage.do_once(change).await.outcome, Outcome::Ok);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
    let answers = stage.look(vec![Read::File { path: link }]).await;
    let [Answer::File(Some(facts))] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!((facts.link.as_deref(), facts.mode), (Some("real"), 0o4711));
    let answers = stage.look(vec![Read::File { path: stage.path("") }]).await;
    assert!(matches!(answers.as_slice(), [Answer::Bad(why)] if why.contains("a folder")), "{answers:?}");
}

pub(super) async fn a_file_that_does_not_validate_changes_nothing(stage: &Stage) {
    let path = stage.path("checked");
    std::fs::write(&path, "good").unwrap();
    let with = |text: &str| Change::WriteFile {
        path: path.clone(),
        content: stage.vault.text(&Text::from(text)).unwrap(),
        mode: None,
        owner: None,
        group: None,
        validate: Some("grep -q good %s || { echo no good: line 1 >&2; exit 4; }".into()),
    };
    let receipt = stage.do_once(with("bad")).await;
    assert!(matches!(&receipt.outcome, Outcome::Refused(why) if why.contains("exit code 4")), "{receipt:?}");
    assert_eq!(receipt.stderr.text, "no good: line 1\n");
    assert_eq!(stage.text("checked"), "good");
    assert_eq!(stage.do_once(with("good 2")).await.outcome, Outcome::Ok);
    assert_eq!(stage.text("checked"), "good 2");
    let nowhere = stage.do_once(stage.write(&stage.path("no/such"), "x")).await.outcome;
    assert!(matches!(&nowhere, Outcome::Refused(why) if why.contains("is not there")), "{nowhere:?}");
}

pub(super) async fn a_large_file_is_streamed_whole(stage: &Stage) {
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(stage.path("big"), &bytes).unwrap();
    let content = stage.vault.file("big").unwrap();
    assert_eq!(stage.do_once(write(&stage.path("big.copy"), content.clone())).await.outcome, Outcome::Ok);
    assert!(std::fs::read(stage.path("big.copy")).unwrap() == bytes);
    // another one by now: nothing is sent
    std::fs::write(stage.path("big"), "other").unwrap();
    let receipt = stage.do_once(write(&stage.path("big.2"), content)).await;
    assert!(matches!(&receipt.outcome, Outcome::Refused(why) if why.contains("has changed")), "{receipt:?}");
}

pub(super) async fn an_input_comes_as_it_is_whether_told_or_sent(stage: &Stage) {
    // the first within a script, the others before it
    for text in ["it's \"$HOME\" `id` \\n %s\n\n\tпривет", "a\rb", &"x'\n".repeat(30_000)] {
        let program = Program::Shell("cat | od -An -v -tx1 | tr -d ' \\n' | sha256sum".into());
        let change = Change::Run(Invocation { stdin: Some(Text::from(text)), ..invocation(program) });
        let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let wanted = format!("{}  -\n", Hash::of(digits.as_bytes()));
        assert_eq!(stage.do_once(change).await.stdout.text, wanted);
    }
}
