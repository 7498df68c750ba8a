//! Where `unsafe` may stand.
//!
//! The lints of the library deny it outside its two modules, and clippy wants
//! a comment at each block. This reads the sources once more, without either:
//! a lint can be allowed by an attribute, this cannot.

use crate::{paths, sh, source};
use anyhow::{ensure, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The modules of `src` that may have it.
const ALLOWED: [&str; 3] = ["kern/", "entry.rs", "entry/"];

/// How many lines above a block its comment may begin.
const NEARBY: usize = 12;

/// Reads every file of `src`. Returns the number of blocks, all argued.
pub fn run() -> Result<usize> {
    let src = paths::root().join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files)?;
    let (mut blocks, mut wrong) = (0, Vec::new());
    for file in &files {
        let name = file.strip_prefix(&src)?.to_string_lossy().into_owned();
        let text = String::from_utf8(sh::read(file)?)?;
        let (count, findings) = audit(
            &text,
            ALLOWED.iter().any(|allowed| name.starts_with(allowed)),
        );
        blocks += count;
        wrong.extend(
            findings
                .iter()
                .map(|finding| format!("src/{name}:{finding}")),
        );
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(blocks)
}

fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The number of `unsafe` blocks in a source, and what is wrong with it.
fn audit(text: &str, allowed: bool) -> (usize, Vec<String>) {
    let code = source::code(text);
    let comments: Vec<&str> = text.lines().collect();
    let (mut blocks, mut wrong) = (0, Vec::new());
    for (number, line) in code.lines().enumerate() {
        for after in words(line, "unsafe") {
            if !allowed {
                wrong.push(format!("{}: unsafe outside kern and entry", number + 1));
            }
            let after = after.trim_start();
            let is_block = after.starts_with('{') || after.starts_with("impl") || after.is_empty();
            blocks += usize::from(is_block);
            let above = &comments[number.saturating_sub(NEARBY)..=number];
            if is_block && !above.iter().any(|line| line.contains("SAFETY:")) {
                wrong.push(format!("{}: no SAFETY comment near", number + 1));
            }
        }
    }
    (blocks, wrong)
}

/// What follows each occurrence of a word in a line.
fn words<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .filter(move |(at, _)| !line[..*at].ends_with(of_name))
        .map(move |(at, _)| &line[at + word.len()..])
        .filter(move |after| !after.starts_with(of_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_need_a_comment() {
        let argued = "fn f() {\n    // SAFETY: it is.\n    unsafe { g() }\n}\n";
        assert_eq!(audit(argued, true), (1, vec![]));
        let bare = "fn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(
            audit(bare, true),
            (1, vec!["2: no SAFETY comment near".into()])
        );
    }

    #[test]
    fn elsewhere_it_is_refused() {
        let text = "// SAFETY: no.\nunsafe { g() }\n";
        assert_eq!(
            audit(text, false),
            (1, vec!["2: unsafe outside kern and entry".into()])
        );
        assert_eq!(audit("unsafe extern \"C\" fn f() {}", false).1.len(), 1);
    }

    #[test]
    fn words_about_it_do_not_count() {
        let text = "// unsafe\n/* unsafe /* unsafe */ unsafe */\nlet a = \"unsafe \\\" unsafe\"; \n\
                    let b = r#\"unsafe \" unsafe\"#; let c = '\"'; let d = '\\''; deny(unsafe_code);\n\
                    fn e<'a>(f: &'a str) {}\n";
        assert_eq!(audit(text, false), (0, vec![]));
    }
}
