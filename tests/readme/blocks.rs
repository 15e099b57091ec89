//! The blocks of a paper that are tried.

/// A fenced block, and what the comment before it says.
#[derive(Debug, Default)]
pub struct Block {
    /// Of its fence, from 1.
    pub line: usize,
    pub marks: Marks,
    /// All of it.
    pub text: String,
    /// What it calls; none in a file.
    pub commands: Vec<Command>,
}

/// What `<!-- readme: … -->` says.
#[derive(Debug, Default, Clone)]
pub struct Marks {
    pub clone: bool,
    pub home: bool,
    pub lab: bool,
    pub file: Option<String>,
}

/// A line that begins with `$ `, and what is shown below it.
#[derive(Debug)]
pub struct Command {
    pub line: usize,
    pub text: String,
    pub shows: Vec<String>,
}

/// The blocks to try, in order: each of `console`, and each with a file's name.
///
/// # Errors
/// `LINE: what is wrong`: a comment that is not understood, a command in a block that would not be tried.
pub fn blocks(paper: &str) -> Result<Vec<Block>, String> {
    let (mut all, mut marks, mut open) = (Vec::new(), Marks::default(), None::<(String, Block)>);
    for (number, line) in paper.lines().enumerate().map(|(n, l)| (n + 1, l)) {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (Some(_), Some(_)) => {
                let (language, block) = open.take().unwrap_or_default();
                if language == "console" || block.marks.file.is_some() {
                    all.push(block);
                }
            }
            (Some((language, block)), None) => read_line(language, block, number, line)?,
            (None, Some("")) => return Err(format!("{number}: a block without a language would not be tried")),
            (None, Some(language)) => {
                let block = Block { line: number, marks: std::mem::take(&mut marks), ..Block::default() };
                open = Some((language.to_owned(), block));
            }
            (None, None) if line.starts_with("    ") && line.contains("svcops ") => {
                return Err(format!("{number}: a command outside of a `console` block would not be tried"));
            }
            (None, None) => {
                let said = line.trim().strip_prefix("<!-- readme:").and_then(|rest| rest.strip_suffix("-->"));
                for word in said.unwrap_or_default().split_whitespace() {
                    mark(&mut marks, word).ok_or_else(|| format!("{number}: `{word}` says nothing"))?;
                }
            }
        }
    }
    Ok(all)
}

fn mark(marks: &mut Marks, word: &str) -> Option<()> {
    match (word, word.strip_prefix("file=")) {
        ("clone", _) => marks.clone = true,
        ("home", _) => marks.home = true,
        ("lab", _) => marks.lab = true,
        (_, Some(name)) => marks.file = Some(name.to_owned()),
        _ => return None,
    }
    Some(())
}

fn read_line(language: &str, block: &mut Block, number: usize, line: &str) -> Result<(), String> {
    block.text += &format!("{line}\n");
    match (line.strip_prefix("$ "), block.commands.last_mut()) {
        (Some(_), _) if language != "console" => {
            return Err(format!("{number}: a command in a block of `{language}` would not be tried"));
        }
        // A comment for the reader is one for the shell, too.
        (Some(text), _) => block.commands.push(Command { line: number, text: text.to_owned(), shows: Vec::new() }),
        (None, Some(command)) => command.shows.push(line.to_owned()),
        (None, None) if language == "console" => {
            return Err(format!("{number}: a `console` block begins with a command: `$ …`"));
        }
        (None, None) => {}
    }
    Ok(())
}

#[test]
fn blocks_are_found_with_their_marks_commands_and_what_they_show() {
    let paper = "x\n<!-- readme: home lab -->\n```console\n$ one\nsays\n…\n$ two\n```\n\n\
                 <!-- readme: file=a.yaml -->\n```yaml\nk: v\n```\n```yaml\nnot: tried\n```\n";
    let found = blocks(paper).unwrap();
    assert_eq!(found.len(), 2);
    assert!(found[0].marks.home && found[0].marks.lab && !found[1].marks.lab, "a mark is of one block");
    let said: Vec<_> = found[0].commands.iter().map(|c| (c.line, c.text.as_str(), c.shows.len())).collect();
    assert_eq!(said, [(4, "one", 2), (7, "two", 0)]);
    assert_eq!((found[1].marks.file.as_deref(), found[1].text.as_str()), (Some("a.yaml"), "k: v\n"));
}

#[test]
fn no_command_can_hide_from_being_tried() {
    for paper in
        ["```\n$ x\n```\n", "```sh\n$ x\n```\n", "    svcops run\n", "```console\nx\n```\n", "<!-- readme: lap -->\n"]
    {
        assert!(blocks(paper).is_err(), "{paper}");
    }
}
